"""A worker that hangs in a case."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from .device import PHANTOMS, Device, fresh

BRAIN = PHANTOMS[0]
"""An image that is answered with a finding."""
DEADLINE = 2
"""Seconds that a case may take here."""


def run(folder: Path, count: int) -> dict[str, int | float]:
    """A worker that is stopped in a case: noticed within twice the deadline, and the next case
    is answered."""
    state = fresh(folder, "stuck")
    device, failed, longest = Device(state, "--deadline", DEADLINE), 0, 0.0
    device.wait_until_idle()
    for _ in range(count):
        worker = device.worker()
        assert worker, "there is no worker"
        os.kill(worker, signal.SIGSTOP)
        since = time.monotonic()
        case = device.run(BRAIN)
        device.wait_until_idle()
        longest = max(longest, time.monotonic() - since)
        said = device.ask(f"CASE:RES? {case}")
        after = device.run(BRAIN)
        device.wait_until_idle()
        right = "code=deadline" in said and " finding " in device.ask(f"CASE:RES? {after}")
        failed += not right or longest > 2 * DEADLINE
    device.end()
    return {"tried": count, "longest_s": round(longest, 2), "failed": failed}
