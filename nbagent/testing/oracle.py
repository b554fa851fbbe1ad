"""
What really happened, written down by a process of its own that no kill of an agent touches.

Rule 1: a line is on the disk (fsync) before the one who reported it goes on.
Rule 2: the oracle never asks the agent's store; comparing the two is the test.

`OracleServer` starts the process, `Oracle` reports to it.
"""

from __future__ import annotations

import collections
import contextlib
import os
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType


class Oracle:
    """A client: an agent's nodes and a test's observers report to it. One a process."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._file = self._socket.makefile("rw")
        self._lock = threading.Lock()

    def did(self, what: str) -> int:
        """Something happened; how often that has been now, this time included."""
        return int(self._ask(f"did {what}"))

    def count(self, what: str) -> int:
        """How often it happened."""
        return int(self._ask(f"count {what}"))

    def _ask(self, line: str) -> str:
        assert "\n" not in line
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()
            answer = self._file.readline()
        if not answer:
            raise ConnectionError("the oracle is gone")
        return answer

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class OracleServer:
    """Starts the oracle's process; a context manager."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve({str(file)!r})"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def lines(self) -> list[str]:
        """All that happened, in order."""
        return self.file.read_text().splitlines()

    def __enter__(self) -> OracleServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def serve(path: str) -> None:
    """Print a port and serve there until the process is ended."""
    lock = threading.Lock()
    counts: collections.Counter[str] = collections.Counter()
    log = open(path, "a")  # noqa: SIM115  (for the life of the process)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # the one who reported was killed
                self.listen()

        def listen(self) -> None:
            for raw in self.rfile:
                verb, _, what = raw.decode().rstrip("\n").partition(" ")
                with lock:
                    if verb == "did":
                        counts[what] += 1
                        log.write(what + "\n")
                        log.flush()
                        os.fsync(log.fileno())
                    count = counts[what]
                self.wfile.write(f"{count}\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
