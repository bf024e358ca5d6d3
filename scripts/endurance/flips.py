"""A flipped bit in the journal is located by the number of its entry; in a bundle, by file."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

from .device import PHANTOMS, PROGRAM, ROOT, Device, fresh


def journal(folder: Path, count: int, seed: int) -> dict[str, int]:
    state = fresh(folder, "flips")
    device = Device(state)
    for _ in range(3):
        for image in PHANTOMS:
            device.run(image)
    device.wait_until_idle()
    device.end()
    whole, chance, failed = (state / "journal.ndjson").read_bytes(), random.Random(seed), 0
    for _ in range(count):
        at = chance.randrange(len(whole))
        spoilt = bytearray(whole)
        spoilt[at] ^= 1 << chance.randrange(8)
        (state / "journal.ndjson").write_bytes(spoilt)
        verify = [PROGRAM, "journal", "--state", state, "verify"]
        told = subprocess.run(verify, capture_output=True, text=True)
        named = [int(n) for n in re.findall(r"\b\d+\b", told.stdout + told.stderr)]
        entry = whole[:at].count(b"\n") + 1
        failed += told.returncode == 0 or entry not in named
    return {"tried": count, "failed": failed}


def bundle(folder: Path, count: int, seed: int) -> dict[str, int]:
    copy, chance, failed = folder / "bundle", random.Random(seed), 0
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT / "models/starter", copy)
    files = sorted(path for path in copy.rglob("*") if path.is_file() and path.stat().st_size)
    for i in range(count):
        path = files[i % len(files)]
        whole = path.read_bytes()
        spoilt = bytearray(whole)
        spoilt[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(spoilt)
        told = subprocess.run([PROGRAM, "bundle", "verify", copy], capture_output=True, text=True)
        path.write_bytes(whole)
        # A manifest names itself, or the file whose hash was changed in it.
        named = path.name in told.stderr or (
            path.name == "bundle.toml" and str(copy) in told.stderr
        )
        harmless = path.name == "bundle.toml" and told.returncode == 0
        failed += not harmless and not (told.returncode == 3 and named)
    return {"tried": count, "failed": failed}
