"""A disk that fills up: a small file system of its own, which only the administrator may
mount."""

from __future__ import annotations

import contextlib
import subprocess
import time
from functools import partial
from pathlib import Path

from .device import PHANTOMS, Device, Hung, fresh, judge, until


def run(folder: Path, count: int) -> dict[str, int]:
    """The disk of the state folder fills up, and is emptied again: what was accepted is
    answered, what was not was refused by code, and cases are taken again."""
    state = fresh(folder, "full")
    mount = ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", state]
    if subprocess.run(mount, capture_output=True).returncode:
        return {"tried": 0, "lost": 0, "failed": 0}
    try:
        device, failed, cases = Device(state), 0, []
        device.wait_until_idle()
        filler = state / "filler"
        for i in range(count):
            _fill(filler)
            # It looks at the disk again and again, not at once.
            time.sleep(2)
            answers = [device.ask(f'CASE:RUN "{PHANTOMS[i % len(PHANTOMS)]}"') for _ in range(3)]
            cases += [int(answer) for answer in answers if answer.isdigit()]
            failed += not any(answer.startswith("ERR") for answer in answers)
            filler.unlink()
            failed += not until(partial(_accepts, device, cases), 30)
            device.wait_until_idle()
        device.end()
        found = judge(state, cases)
        return {"tried": count, **found, "failed": failed + found["failed"]}
    except Hung:
        return {"tried": count, "lost": 0, "failed": 1}
    finally:
        subprocess.run(["umount", "-l", state], check=True)


def _accepts(device: Device, cases: list[int]) -> bool:
    case = device.run(PHANTOMS[0])
    cases.extend([case] if case else [])
    return case is not None


def _fill(path: Path) -> None:
    """Takes all the space there is."""
    with path.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
            file.flush()
