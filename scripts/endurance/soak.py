"""Case after case: resident memory and descriptors do not grow."""

from __future__ import annotations

from pathlib import Path
from statistics import median_low

from .device import PHANTOMS, Device, ends, fresh, is_whole

WARM = 0.2
"""Share of the cases before the first look: caches are full then."""
LOOKS = 0.2
"""Share of the cases that are looked at, at first and at last. An allocator gives back and takes
again some hundred KiB from one case to the next: only the medians of many looks tell growth."""
GROWTH = 1.02
"""Of both processes' memory. The device's allocator was seen to step up and down again by 0.9 %
over 2,400 cases without a trend (14.6 to 15.0 MB; the worker 28.2 MB throughout), and a step may
last for longer than the looks of a short run."""


def held(pid: int) -> tuple[int, int]:
    """Resident KiB, and open descriptors."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return resident, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def held_by_all(pids: list[int]) -> tuple[int, int]:
    """The same of a device's processes together."""
    looks = [held(pid) for pid in pids]
    return sum(kib for kib, _ in looks), sum(descriptors for _, descriptors in looks)


def middle(looks: list[tuple[int, int]]) -> tuple[int, int]:
    return median_low(kib for kib, _ in looks), median_low(descriptors for _, descriptors in looks)


def run(folder: Path, count: int) -> dict[str, int | float]:
    state = fresh(folder, "soak")
    device = Device(state)
    warm, looks = int(count * WARM), int(count * LOOKS)
    seen: list[tuple[int, int]] = []
    worker = None
    for i in range(count):
        device.run(PHANTOMS[i % len(PHANTOMS)])
        device.wait_until_idle()
        if i == warm:
            worker = device.worker()
        if i >= warm and worker == device.worker():
            seen.append(held_by_all([device.process.pid, worker]))
    same = worker == device.worker()
    device.end()
    (before, few), (after, many) = middle(seen[:looks]), middle(seen[-looks:])
    grown = after > before * GROWTH or many > few
    answered = ends(state)
    return {
        "tried": count,
        "lost": count - len(answered),
        "resident_kib_before": before,
        "resident_kib_after": after,
        "descriptors_grown": many - few,
        "failed": int(grown or not same or not is_whole(state)),
    }
