"""The client for `asyncio`: the same calls, on one thread of its own, so that a slow line holds up
nothing else of the program. A call that is cancelled ends soon, and what the device accepted by
then it answers all the same."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, TypeVar

import serial

from . import messages
from .client import Client, Status
from .messages import Answer

T = TypeVar("T")
P = ParamSpec("P")


class AsyncClient:
    """One device on one port of this machine:

        async with AsyncClient("/dev/ttyUSB0") as client:
            answer = await client.classify(image, "brain4")

    Callbacks are called on the loop, never on the other thread."""

    def __init__(
        self,
        port: str,
        baud: int = 115_200,
        patience: float = 30.0,
        timeout: float | None = None,
        on_status: Callable[[Status], None] = lambda status: None,
    ) -> None:
        self.port, self.baud, self.patience, self.timeout = port, baud, patience, timeout
        self.on_status = on_status
        # One call after the other: a line has one end.
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="medfocus-link")
        self.line: serial.Serial | None = None
        self.client: Client | None = None

    async def __aenter__(self) -> "AsyncClient":
        told = self.on_loop(self.on_status)

        def begin() -> Client:
            self.line = serial.Serial(self.port, self.baud, timeout=0.005, exclusive=True)
            return Client(self.line, self.baud, self.patience, self.timeout, told)

        loop = asyncio.get_running_loop()
        self.client = await loop.run_in_executor(self.thread, begin)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        client, line = self.client, self.line
        if client and line:
            client.stop()

            def end() -> None:
                client.__exit__()
                line.close()

            await asyncio.get_running_loop().run_in_executor(self.thread, end)
        self.thread.shutdown(wait=False)

    async def classify(
        self,
        image: bytes,
        exam: str | None = None,
        region: tuple[int, int, int, int] | None = None,
        on_progress: Callable[[str, int, int], None] = lambda what, done, of: None,
        priority: messages.Priority = messages.Priority.ROUTINE,
        age: int | None = None,
        sex: messages.Sex | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """`Client.classify`."""
        told = self.on_loop(on_progress)
        ask = self.begun.classify
        return await self.call(ask, image, exam, region, told, priority, age, sex, timeout)

    async def console(self, line: str, timeout: float | None = None) -> str:
        """`Client.console`."""
        return await self.call(self.begun.console, line, timeout)

    async def fetch(self) -> AsyncIterator[Answer]:
        """`Client.fetch`: the device forgets an answer when the next is asked for."""
        answers = self.begun.fetch()
        while (answer := await self.call(next, answers, None)) is not None:
            yield answer

    @property
    def begun(self) -> Client:
        if self.client is None:
            raise RuntimeError("use it within `async with`")
        return self.client

    async def call(self, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        asked = self.thread.submit(ask, *args, **kwargs)
        try:
            return await asyncio.wrap_future(asked)
        except asyncio.CancelledError:
            self.begun.stop()
            raise

    @staticmethod
    def on_loop(callback: Callable[P, None]) -> Callable[P, None]:
        loop = asyncio.get_running_loop()

        def called(*args: P.args, **kwargs: P.kwargs) -> None:
            loop.call_soon_threadsafe(lambda: callback(*args, **kwargs))

        return called
