"""Case after case: resident memory and descriptors do not grow."""

from __future__ import annotations

from pathlib import Path

from .device import PHANTOMS, Device, ends, fresh, is_whole

WARM = 0.2
"""Share of the cases before the first look: caches are full then."""
GROWTH = 1.01


def held(pid: int) -> tuple[int, int]:
    """Resident KiB, and open descriptors."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return resident, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def run(folder: Path, count: int) -> dict[str, int | float]:
    state = fresh(folder, "soak")
    device = Device(state)
    first: list[tuple[int, int]] = []
    worker = None
    for i in range(count):
        device.run(PHANTOMS[i % len(PHANTOMS)])
        device.wait_until_idle()
        if i == int(count * WARM):
            worker = device.worker()
            first = [held(pid) for pid in (device.process.pid, worker) if pid]
    same = worker == device.worker()
    last = [held(pid) for pid in (device.process.pid, worker) if pid]
    device.end()
    before, after = sum(kib for kib, _ in first), sum(kib for kib, _ in last)
    descriptors = sum(fds for _, fds in last) - sum(fds for _, fds in first)
    grown = after > before * GROWTH or descriptors > 0
    answered = ends(state)
    return {
        "tried": count,
        "lost": count - len(answered),
        "resident_kib_before": before,
        "resident_kib_after": after,
        "descriptors_grown": descriptors,
        "failed": int(grown or not same or not is_whole(state)),
    }
