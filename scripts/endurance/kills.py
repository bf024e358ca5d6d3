"""`kill -9` at seeded moments, while cases come in."""

from __future__ import annotations

import random
import threading
from pathlib import Path

from .device import PHANTOMS, Device, Gone, fresh, judge, panicked

LONGEST = 1.2
"""Seconds a device lives at most: from before its self-test to the middle of its cases."""


def run(folder: Path, count: int, seed: int) -> dict[str, int]:
    """Every case that was acknowledged is answered, and none twice."""
    chance, state, acknowledged = random.Random(seed), fresh(folder, "kills"), set()
    for _ in range(count):
        device = Device(state)
        timer = threading.Timer(chance.uniform(0, LONGEST), device.kill)
        timer.start()
        try:
            while True:
                case = device.run(chance.choice(PHANTOMS))
                if case:
                    acknowledged.add(case)
        except (Gone, ValueError):
            timer.join()
    found = judge(state, acknowledged)
    found["failed"] += panicked(state)
    return {"tried": count, "acknowledged": len(acknowledged), **found}
