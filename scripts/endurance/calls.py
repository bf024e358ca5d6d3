"""Every file-system call on the state folder fails once, by strace's fault injection."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

from .device import PHANTOMS, Device, Gone, Hung, fresh, judge, panicked

CALLS = (
    "openat", "read", "write", "pread64", "pwrite64", "writev", "lseek", "fstat", "statx", "fsync",
    "fdatasync", "ftruncate", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "unlink",
    "unlinkat", "linkat", "rmdir", "flock", "getdents64", "fallocate", "statfs", "fchmod",
)  # fmt: skip
ERRORS = ("EIO", "ENOSPC", "EINTR")
FILES = (
    "journal.ndjson", "device-mark", "device-key", "device-key.pub", "images", "kept", "reserve",
    "device-id", "health.json", "",
)  # fmt: skip


def run(folder: Path, most: int | None) -> dict[str, int]:
    """Nothing panics, and what was said to be accepted or answered is."""
    made = _count(folder)
    faults = [
        (call, number, error)
        for error in ERRORS
        for call, count in sorted(made.items())
        for number in range(1, count + 1)
    ]
    if most:
        faults = faults[:: max(1, len(faults) // most)][:most]
    found = {"tried": len(faults), "lost": 0, "twice": 0, "failed": 0}
    for call, number, error in faults:
        came = _one(folder, call, number, error)
        if any(came.values()):
            print(f"{call} {number} {error}: {came}")
        for key, value in came.items():
            found[key] += value
    return found


def _strace(state: Path, *options: str) -> list[object]:
    traced = [option for file in FILES for option in ("-P", str(state / file).rstrip("/"))]
    return ["strace", "-f", "-qq", "-o", state.parent / "calls.strace", *traced, *options]


def _session(device: Device) -> list[int]:
    """What a host does, as far as it gets; the cases that were acknowledged."""
    cases = []
    try:
        for image in PHANTOMS:
            case = device.run(image)
            cases += [case] if case else []
        device.wait_until_idle()
    except (Gone, ValueError):
        pass
    return cases


def _count(folder: Path) -> Counter[str]:
    """How often a whole session makes each call."""
    state = fresh(folder, "calls")
    device = Device(state, before=_strace(state, "-e", f"trace=?{',?'.join(CALLS)}"))
    _session(device)
    device.end()
    log = (folder / "calls.strace").read_text()
    return Counter(re.findall(r"^\d+ +(\w+)\(", log, re.MULTILINE))


def _one(folder: Path, call: str, number: int, error: str) -> dict[str, int]:
    state = fresh(folder, "calls")
    inject = f"inject={call}:error={error}:when={number}"
    device = Device(state, before=_strace(state, "-e", f"trace={call}", "-e", inject))
    try:
        cases = _session(device)
        device.end()
    except (Hung, subprocess.TimeoutExpired):
        device.kill()
        return {"lost": 0, "twice": 0, "failed": 1}
    found = judge(state, cases)
    found["failed"] += panicked(state)
    return found
