"""A PostgreSQL server of the tests' own: its data in a temporary folder, no network."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path


def find(program: str) -> str | None:
    """Where the program is; Debian keeps the server's programs off the PATH."""
    known = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{program}"))
    return shutil.which(program) or (known[-1] if known else None)


class Server:
    """A running server. As root it runs as the user `postgres` or `nobody`: it refuses root."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nbagent-pg-"))
        self._user = None
        if os.getuid() == 0:
            known = {entry.pw_name for entry in pwd.getpwall()}
            self._user = "postgres" if "postgres" in known else "nobody"
            shutil.chown(self.folder, self._user)
        data = self.folder / "data"
        self._run("initdb", "-D", data, "-U", "tests", "--auth=trust", "-E", "UTF8", "--no-sync")
        self._data = data
        self.start()

    def start(self) -> None:
        """Start it, with its socket in the folder and no port."""
        options = f"-c listen_addresses='' -k {self.folder} -c fsync=off"
        self._run(
            "pg_ctl", "-D", self._data, "-w", "-l", self.folder / "log", "-o", options, "start"
        )

    def stop(self, mode: str = "fast") -> None:
        """Stop it; "immediate" is what a crash is like."""
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def remove(self) -> None:
        """Stop it and delete its folder."""
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, schema: str) -> str:
        """For a store in a schema of its own."""
        return f"postgresql://tests@/postgres?host={self.folder}&schema={schema}"

    def _run(self, program: str, *arguments: object) -> None:
        command = [find(program) or program, *map(str, arguments)]
        # Its output goes to a file, not a pipe that the server would keep open.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                command,
                user=self._user,
                cwd="/",
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
            )
            said.seek(0)
            assert done.returncode == 0, said.read().decode()
