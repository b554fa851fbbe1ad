"""
Kills of the busy agent on a PostgreSQL server of its own, of its workers and of the server.

    python -m tests.chaos.postgres 200
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import psycopg

from nbagent.testing import run_chaos
from tests.postgres import Server


def strike(url: str) -> None:
    """End the connections that write, or kill one of the server's processes, at which it restarts
    all of them; in turn."""
    place = url.partition("&schema=")[0]
    try:
        with psycopg.connect(place, autocommit=True, connect_timeout=5) as db:
            pids = [
                pid
                for (pid,) in db.execute(
                    "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'nbagent %'"
                )
            ]
            if time.monotonic_ns() % 2:
                for pid in pids:
                    db.execute("SELECT pg_terminate_backend(%s)", (pid,))
                return
    except psycopg.OperationalError:
        return  # it is restarting
    for pid in pids[:1]:
        subprocess.run(["kill", f"-{signal.SIGKILL:d}", str(pid)], check=False)


def main(kills: int) -> int:
    """0 when nothing happened that must not."""
    server = Server()
    try:
        report = run_chaos(
            "tests.chaos.agent:busy",
            kills=kills,
            seed=int(os.environ.get("NBAGENT_SEED", "0")),
            store=server.url("chaos"),
            strike="tests.chaos.postgres:strike",
        )
    finally:
        server.remove()
    print(json.dumps(asdict(report), indent=1))
    return 0 if report.is_clean() else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
