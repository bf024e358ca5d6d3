"""A receiver of findings that is away."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from pathlib import Path

from .device import PHANTOMS, Device, ends, entries, fresh, until


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


def run(folder: Path, count: int) -> dict[str, int]:
    """A receiver that is away delays no other sink, and gets everything when it is back."""
    state, results = fresh(folder, "away"), folder / "results"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    device = Device(state, "--results", results, "--hl7", f"127.0.0.1:{port}")
    cases = [device.run(PHANTOMS[i % len(PHANTOMS)]) for i in range(count)]
    device.wait_until_idle()
    written = until(lambda: len(list(results.glob("*.json"))) == count, 10)
    receiver = Receiver(port)
    findings = sum(
        1 for e in entries(state) if e["event"] == "answered" and e["record"]["status"] == "finding"
    )
    delivered = until(lambda: len(set(receiver.taken)) >= findings, 90)
    device.end()
    return {
        "tried": count,
        "lost": len(cases) - len(ends(state)),
        "failed": int(not written) + int(not delivered),
    }
