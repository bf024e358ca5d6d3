"""A worker that hangs, a receiver that is away, a clock that is wrong, a second device, a full
disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

from .device import PHANTOMS, PROGRAM, Device, Hung, ends, entries, fresh, is_whole, judge

BRAIN = PHANTOMS[0]
"""An image that is answered with a finding."""
YEAR = 365 * 24 * 3600
DEADLINE = 2
"""Seconds that a case may take here."""


def stuck(folder: Path, count: int) -> dict[str, int | float]:
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


class Receiver:
    """A receiver of HL7 over MLLP that takes every message."""

    def __init__(self, port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", port))
        self.taken: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._answer(self.listener.accept()[0])

    def _answer(self, peer: socket.socket) -> None:
        with peer:
            held = b""
            while part := peer.recv(1 << 16):
                held += part
                while b"\x1c\r" in held:
                    message, held = held.split(b"\x1c\r", 1)
                    control = message.split(b"|")[9]
                    self.taken.append(control)
                    peer.sendall(b"\x0bMSH|^~\\&|A|B|C|D|1||ACK|1|P|2.5.1\rMSA|AA|" + control
                                 + b"\r\x1c\r")  # fmt: skip


def away(folder: Path, count: int) -> dict[str, int]:
    """A receiver that is away delays no other sink, and gets everything when it is back."""
    state, results = fresh(folder, "away"), folder / "results"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    device = Device(state, "--results", results, "--hl7", f"127.0.0.1:{port}")
    cases = [device.run(PHANTOMS[i % len(PHANTOMS)]) for i in range(count)]
    device.wait_until_idle()
    written = _until(lambda: len(list(results.glob("*.json"))) == count, 10)
    receiver = Receiver(port)
    findings = sum(
        1 for e in entries(state) if e["event"] == "answered" and e["record"]["status"] == "finding"
    )
    delivered = _until(lambda: len(set(receiver.taken)) >= findings, 90)
    device.end()
    return {
        "tried": count,
        "lost": len(cases) - len(ends(state)),
        "failed": int(not written) + int(not delivered),
    }


def _until(done: object, seconds: float) -> bool:
    assert callable(done)
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def clock(folder: Path, count: int) -> dict[str, int]:
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


def second(folder: Path) -> dict[str, int]:
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


def full(folder: Path, count: int) -> dict[str, int]:
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
            failed += not _until(partial(_accepts, device, cases), 30)
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
