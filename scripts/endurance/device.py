"""A running device: its console on standard input and output, its journal, its processes."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target/release/medfocus"
PHANTOMS = sorted((ROOT / "tests/phantoms").glob("*.png"))
PATIENCE = 60.0
"""Seconds after which a device that says nothing counts as hung."""


class Hung(Exception):
    """The device said nothing for too long."""


class Gone(Exception):
    """The device has closed its console."""


class Device:
    """`medfocus serve` on a state folder; `before` runs it, as strace does."""

    def __init__(
        self,
        state: Path,
        *options: object,
        before: Iterable[object] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        command = [*before, PROGRAM, "serve", "--serial", "-", "--state", state, *options]
        self.said = (state.parent / f"{state.name}.stderr").open("ab")
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.said, env={**os.environ, **(environment or {})}, start_new_session=True,
        )  # fmt: skip
        self.talks = False
        self.answers: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.answers.put(line.decode(errors="replace").strip())
        self.answers.put(None)

    def ask(self, line: str) -> str:
        """The one line by which the console answers, as it answers people."""
        if not self.talks:
            self.talks = True
            self.ask("SYST:COMM:TALK ON")
        assert self.process.stdin
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
            answer = self.answers.get(timeout=PATIENCE)
        except OSError as error:
            raise Gone from error
        except queue.Empty as error:
            raise Hung(line) from error
        if answer is None:
            raise Gone
        return answer

    def run(self, image: Path) -> int | None:
        """The number of a case that was acknowledged; `None` where it was not accepted."""
        answer = self.ask(f'CASE:RUN "{image}"')
        return int(answer) if answer.isdigit() else None

    def wait_until_idle(self) -> None:
        """Until no case waits or runs."""
        until = time.monotonic() + PATIENCE
        while self.ask("*OPC?") != "1":
            if time.monotonic() > until:
                raise Hung("cases that do not end")
            time.sleep(0.01)

    def worker(self) -> int | None:
        """The process that runs cases."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        with contextlib.suppress(OSError):
            for pid in (int(pid) for file in children for pid in file.read_text().split()):
                if b"run-cases" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
        return None

    def kill(self) -> None:
        """As when the power fails, as far as processes go."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.said.close()

    def end(self) -> int:
        """Closes its line and waits; its exit code."""
        assert self.process.stdin
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise Hung("the end") from error
        finally:
            self.said.close()


def entries(state: Path) -> list[dict]:
    """The journal's whole lines."""
    lines = (state / "journal.ndjson").read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]


def is_whole(state: Path) -> bool:
    """Whether the program itself finds every entry of the journal in its place."""
    verify = [PROGRAM, "journal", "--state", state, "verify"]
    return subprocess.run(verify, capture_output=True).returncode == 0


def ends(state: Path) -> dict[int, int]:
    """How often each case was answered."""
    count: dict[int, int] = {}
    for entry in entries(state):
        if entry["event"] == "answered":
            count[entry["case"]] = count.get(entry["case"], 0) + 1
    return count


def judge(state: Path, acknowledged: Iterable[int]) -> dict[str, int]:
    """What became of the cases that a host was told of, after a start with nothing wrong."""
    device = Device(state)
    device.wait_until_idle()
    device.end()
    answered = ends(state)
    return {
        "lost": sum(1 for case in acknowledged if not answered.get(case)),
        "twice": sum(1 for times in answered.values() if times > 1),
        "failed": int(not is_whole(state)),
    }


def panicked(state: Path) -> bool:
    """Whether the program said so."""
    said = state.parent / f"{state.name}.stderr"
    return said.exists() and b"panicked" in said.read_bytes()


def fresh(folder: Path, name: str) -> Path:
    """An empty state folder."""
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / f"{name}.stderr").unlink(missing_ok=True)
    (folder / name).mkdir(parents=True)
    return folder / name


def until(done: Callable[[], bool], seconds: float) -> bool:
    """Whether it is so before so many seconds have passed."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
