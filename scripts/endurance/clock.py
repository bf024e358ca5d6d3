"""A clock that is set while the device runs, by libfaketime."""

from __future__ import annotations

from pathlib import Path

from .device import PHANTOMS, Device, ends, entries, fresh, is_whole

YEAR = 365 * 24 * 3600


def run(folder: Path, count: int) -> dict[str, int]:
    """The clock is set back and forward by a year while the device runs: the order stays, and
    the journal says so."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        return {"tried": 0, "failed": 0}
    state, offset = fresh(folder, "clock"), folder / "offset"
    offset.write_text("+0")
    device = Device(state, environment={
        "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1",
    })  # fmt: skip
    cases = []
    for i in range(count):
        offset.write_text(("+0", f"-{YEAR}", f"+{YEAR}")[i % 3])
        cases.append(device.run(PHANTOMS[i % len(PHANTOMS)]))
        device.wait_until_idle()
    device.end()
    found = entries(state)
    in_order = [e["seq"] for e in found] == list(range(1, len(found) + 1))
    accepted = [e["case"] for e in found if e["event"] == "accepted"]
    told = sum(1 for e in found if e["event"] == "clock_set")
    failed = not in_order or accepted != cases or told < count - 1 or not is_whole(state)
    return {"tried": count, "told": told, "lost": count - len(ends(state)), "failed": int(failed)}
