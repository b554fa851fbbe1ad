"""
Where a process runs, and whether one that runs there lives: what a process id is worth.

Rule 1: a process id means something inside one namespace of one boot of one machine. Two containers
        may share a host name, a machine id and every process id, and are two places.
Rule 2: what cannot be found out counts as alive: its silence tells.
Rule 3: nothing is imported that a system may lack.
"""

from __future__ import annotations

import functools
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


@functools.lru_cache(maxsize=1)
def boot() -> str:
    """This boot of this machine, as text that no other boot and no other machine has."""
    found = _text("/proc/sys/kernel/random/boot_id")
    with suppress(Exception):  # an odd system: its name is all that there is
        if sys.platform == "darwin":
            found = _boot_of_macos()
        elif sys.platform == "win32":
            found = _machine_of_windows()
    return found or f"{socket.gethostname()} {_text('/etc/machine-id')}".strip()


def namespace() -> str:
    """Where in this boot the ids of processes are counted, and its monotonic clock."""
    found = []
    for name in ("pid", "time"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/ns/{name}"))
    return " ".join(found)


def started(pid: int) -> str:
    """When the process started, as text that is equal for one process only; "" if unknown."""
    if sys.platform == "win32":
        return _windows(pid)[1]
    stat = _stat(pid)
    return stat[19] if stat else ""


def lives(pid: int, when: str) -> bool:
    """False when there is no such process here any more; `when` is what `started` gave for it."""
    if pid <= 0:
        return False  # no process has such an id; to `kill` it would mean a group of them
    if sys.platform == "win32":  # where `os.kill(pid, 0)` sends Ctrl-C
        exists, now = _windows(pid)
        return exists and (not when or not now or now == when)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # it is somebody else's, so it lives
    stat = _stat(pid)
    if not stat:
        return True
    return stat[0] not in ("Z", "X") and (not when or stat[19] == when)


def _stat(pid: int) -> list[str]:
    """The fields of a process from the third on; none where they cannot be read, or are those of
    another namespace's process."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return []
    except OSError:
        return []
    # Counted behind the command's name, which may itself hold spaces and brackets.
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields if len(fields) > 19 else []


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def _boot_of_macos() -> str:
    import ctypes

    system: Any = ctypes.CDLL(None)
    text, size = ctypes.create_string_buffer(64), ctypes.c_size_t(64)
    name = b"kern.bootsessionuuid"
    failed = system.sysctlbyname(name, text, ctypes.byref(size), None, ctypes.c_size_t(0))
    return "" if failed else text.value.decode()


def _machine_of_windows() -> str:
    import importlib

    winreg: Any = importlib.import_module("winreg")
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography") as key:
        return f"{socket.gethostname()} {winreg.QueryValueEx(key, 'MachineGuid')[0]}"


def _windows(pid: int) -> tuple[bool, str]:
    """Whether a process lives, and when it began; (True, "") where that cannot be known."""
    try:
        import ctypes

        kernel: Any = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
        kernel.OpenProcess.restype = ctypes.c_void_p
        handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
        if not handle:
            no_such = 87  # ERROR_INVALID_PARAMETER; another error: it may not be looked at
            return ctypes.get_last_error() != no_such, ""  # type: ignore[attr-defined]
        held = ctypes.c_void_p(handle)
        try:
            code, times = ctypes.c_ulong(), [ctypes.c_ulonglong() for _ in range(4)]
            kernel.GetExitCodeProcess(held, ctypes.byref(code))
            known = kernel.GetProcessTimes(held, *map(ctypes.byref, times))
            still_active = 259
            return code.value == still_active, str(times[0].value) if known else ""
        finally:
            kernel.CloseHandle(held)
    except Exception:
        return True, ""
