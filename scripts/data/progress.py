"""How far a long step is: a bar on a terminal, nothing anywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

WIDTH = 30


class Progress:
    """Counts steps; draws at most five times a second."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total, self.done = name, total, 0
        self.shown = sys.stderr.isatty()
        self.next = 0.0

    def __enter__(self) -> Self:
        return self

    def step(self, count: int = 1) -> None:
        self.done += count
        now = time.monotonic()
        if self.shown and now >= self.next:
            self.next = now + 0.2
            filled = WIDTH * self.done // max(self.total, 1)
            bar = "#" * filled + "." * (WIDTH - filled)
            print(f"\r{self.name} {bar} {self.done}/{self.total}", end="", file=sys.stderr)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.shown:
            print(file=sys.stderr)
