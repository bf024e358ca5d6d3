"""A second device on the same state folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .device import PHANTOMS, PROGRAM, Device, ends, fresh


def run(folder: Path) -> dict[str, int]:
    """Two devices on one state folder: the second is refused, and the first goes on."""
    state = fresh(folder, "second")
    device = Device(state)
    device.ask("*IDN?")
    serve = [PROGRAM, "serve", "--serial", "-", "--state", state]
    other = subprocess.run(serve, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    refused = other.returncode == 3 and "(state)" in other.stderr
    case = device.run(PHANTOMS[0])
    device.wait_until_idle()
    device.end()
    return {"tried": 1, "lost": int(case not in ends(state)), "failed": int(not refused)}
