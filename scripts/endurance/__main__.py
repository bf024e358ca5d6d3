"""What a device must survive, done to the real program: the short versions with --quick, as CI
runs them, or all of it. Ends with 1 where something was lost, answered twice or failed."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import calls, clock, disk, flips, kills, power, receivers, second, soak, stuck

BAD = ("lost", "twice", "failed")

Figures = dict[str, int | float]


def faults(quick: bool, seed: int) -> dict[str, Callable[[Path], Figures]]:
    """Each by its name; the quick one does the same, less often."""

    def times(whole: int, short: int) -> int:
        return short if quick else whole

    return {
        "kill_9": lambda folder: kills.run(folder, times(1000, 15), seed),
        "power_loss": lambda folder: power.run(folder, 12 if quick else None, seed),
        "failing_calls": lambda folder: calls.run(folder, 12 if quick else None),
        "full_disk": lambda folder: disk.run(folder, times(10, 1)),
        "journal_bit_flips": lambda folder: flips.journal(folder, times(2000, 50), seed),
        "bundle_bit_flips": lambda folder: flips.bundle(folder, times(400, 20), seed),
        "stuck_inference": lambda folder: stuck.run(folder, times(20, 1)),
        "receiver_away": lambda folder: receivers.run(folder, times(50, 4)),
        "clock_set": lambda folder: clock.run(folder, times(60, 6)),
        "second_device": second.run,
        "soak": lambda folder: soak.run(folder, times(5000, 150)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    every = list(faults(True, 0))
    parser.add_argument("--quick", action="store_true", help="each a few times: two minutes")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--only", choices=every, action="append", help="this fault alone")
    parser.add_argument("--seed", type=int, default=1, help="of all that is left to chance")
    arguments = parser.parse_args()
    found: dict[str, Figures] = {}
    for name, fault in faults(arguments.quick, arguments.seed).items():
        if arguments.only and name not in arguments.only:
            continue
        since = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="medfocus-") as folder:
            found[name] = fault(Path(folder))
        found[name]["seconds"] = round(time.monotonic() - since, 1)
        print(f"{name}: {json.dumps(found[name])}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(found, indent=1))
    wrong = [name for name, figures in found.items() if any(figures.get(bad) for bad in BAD)]
    if wrong:
        sys.exit(f"not survived: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
