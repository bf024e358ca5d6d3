"""A link over a serial port: images out, answers in."""

import dataclasses
import hashlib
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol, TypeVar

import serial

from . import messages
from .endpoint import Endpoint
from .messages import Answer, Report, Request
from .postcard import Damage
from .wire import Close, Splitter, VersionDamage, pack

T = TypeVar("T")

#: What the device says of itself, unasked.
Status = messages.SafeState | messages.StorageFault | messages.Warnings


class Port(Protocol):
    """What is needed of `serial.Serial`; its timeout must be short."""

    @property
    def in_waiting(self) -> int: ...

    def read(self, size: int) -> bytes: ...

    def write(self, data: bytes) -> int | None: ...


class Silent(Exception):
    """No device answered in time."""


class TimeIsUp(Exception):
    """The total time is over. What the device accepted it will answer all the same."""


class Stopped(Exception):
    """Somebody called `stop` meanwhile."""


class OtherImage(Exception):
    """The device's answer is about another image than was sent: do not use it."""


class RefusedError(Exception):
    """The device refused a request."""

    def __init__(self, refused: messages.Refused) -> None:
        super().__init__(f"{refused.text} ({refused.number})")
        self.number = refused.number


NO_SUCH_IMAGE, IMAGE_BUSY, TOO_MANY_WAITING, UNKNOWN_MESSAGE = 32, 33, 12, 40


class Lost(Exception):
    """The link began anew: what was asked has to be asked again."""


class Client:
    """One device on one port. Everything is asked again on its own when the line or the
    device was away; after `patience` seconds without a sign of it, `Silent` is raised, and
    after `timeout` seconds in all, `TimeIsUp`: a device in the safe state keeps its cases and
    answers none for as long as that lasts. `on_status` hears of the safe state, of a storage
    fault and of warnings, and that they are over."""

    def __init__(
        self,
        port: Port,
        baud: int = 115_200,
        patience: float = 30.0,
        timeout: float | None = None,
        on_status: Callable[[Status], None] = lambda status: None,
    ) -> None:
        self.port = port
        self.call_until: float | None = None
        self.call_timeout = 0.0
        self.stopping = threading.Event()
        self.patience = patience
        self.timeout = timeout
        self.began = time.monotonic()
        self.on_status = on_status
        self.endpoint = Endpoint(baud)
        self.splitter = Splitter()
        self.inbox = bytearray()
        self.heard = time.monotonic()
        self.hello: messages.Hello | None = None
        # Drawn by chance, so that this client is no other and its numbers are its own. They
        # are drawn as well, since devices of before knew no identities.
        self.identity = secrets.randbits(64)
        self.numbers = itertools.count(secrets.randbits(62))
        #: Whether who we are, and what we want to hear, was said on this link.
        self.introduction: Literal["owed", "said"] = "owed"
        #: How many messages of that a device of before may still refuse.
        self.may_be_unknown = 0
        self.about: messages.About | None = None
        self.notes: messages.Notes | None = None

    @classmethod
    @contextmanager
    def connect(
        cls,
        port: str,
        baud: int = 115_200,
        patience: float = 30.0,
        timeout: float | None = None,
        on_status: Callable[[Status], None] = lambda status: None,
    ) -> Iterator["Client"]:
        """A client on a port of this machine, which is closed afterwards."""
        with (
            serial.Serial(port, baud, timeout=0.005, exclusive=True) as line,
            cls(line, baud, patience, timeout, on_status) as client,
        ):
            yield client

    def stop(self) -> None:
        """Ends what is being asked, from another thread, by `Stopped`. What the device accepted
        it will answer all the same: `fetch` it."""
        self.stopping.set()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.port.write(pack(Close()))

    def classify(
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
        """Sends an image, gives its answer; the device need not keep it for anyone else.
        `on_progress` hears `("sent", bytes, of)` and `("stage", stage, of)`. Priority, age and
        sex are known to devices since there is `Identity`. `timeout` is for this call alone. A
        finding's `notes` are what else its reader must know."""
        self.begin_call(timeout)
        request = next(self.numbers)
        digest = hashlib.sha256(image).digest()
        run: Request = messages.Run(request, digest, exam, region)
        if priority or age is not None or sex is not None:
            run = messages.RunWith(request, digest, exam, region, priority, age, sex)

        asked = False

        def attempt() -> Answer:
            nonlocal asked
            if not asked:
                self.send(image, digest, on_progress)
            # Once asked it is the same case by its number, and its image may be gone.
            asked = True
            self.say(run)
            try:
                case = self.await_(messages.Accepted, lambda a: a.request == request).case
            except RefusedError:
                asked = False
                raise
            for report in self.reports():
                match report:
                    case messages.Progress(of, messages.Stage(index, stages)) if of == case:
                        on_progress("stage", index + 1, stages)
                    case messages.Finding() | messages.Refusal() | messages.Aborted():
                        if report.case == case:
                            self.hold_to(report, digest)
                            self.take(report)
                            return self.with_notes(report)
            raise Lost

        return self.until_done(attempt)

    def fetch(self) -> Iterator[Answer]:
        """Every answer that no host has taken. The device forgets one when the next is
        asked for: by then it has to be safe here. After a lost link one may come twice."""
        while True:
            try:
                self.say(messages.Fetch())
                for report in self.reports():
                    match report:
                        case messages.Finding() | messages.Refusal() | messages.Aborted():
                            yield self.with_notes(report)
                            self.say(messages.Taken(report.case))
                        case messages.Fetched():
                            self.settle()
                            return
            except Lost:
                continue

    def console(self, line: str, timeout: float | None = None) -> str:
        """A console line's answer. `timeout` is for this call alone."""
        self.begin_call(timeout)

        def attempt() -> str:
            self.say(messages.Console(line))
            answer = ""
            for report in self.reports():
                if isinstance(report, messages.ConsoleText):
                    answer += report.text
                    if not report.more:
                        return answer
            raise Lost

        return self.until_done(attempt)

    def begin_call(self, timeout: float | None) -> None:
        self.stopping.clear()
        self.call_until = None if timeout is None else time.monotonic() + timeout
        self.call_timeout = timeout or 0.0

    def with_notes(self, answer: Answer) -> Answer:
        """The answer with the notes that came before it."""
        notes, self.notes = self.notes, None
        if isinstance(answer, messages.Finding) and notes and notes.case == answer.case:
            return dataclasses.replace(answer, notes=tuple(notes.codes.split(",")))
        return answer

    def until_done(self, attempt: Callable[[], T]) -> T:
        while True:
            try:
                return attempt()
            except Lost:
                continue
            except RefusedError as refused:
                if refused.number not in (NO_SUCH_IMAGE, IMAGE_BUSY, TOO_MANY_WAITING):
                    raise
                time.sleep(0.5)

    def send(
        self, image: bytes, digest: bytes, on_progress: Callable[[str, int, int], None]
    ) -> None:
        self.say(messages.Put(digest, len(image)))
        for report in self.reports():
            match report:
                case messages.Stored(stored) if stored == digest:
                    return
                case messages.Wanted(wanted, offset) if wanted == digest:
                    for at in range(offset, len(image), messages.CHUNK_LENGTH):
                        chunk = image[at : at + messages.CHUNK_LENGTH]
                        self.say(messages.Chunk(at, chunk))
                        on_progress("sent", at + len(chunk), len(image))

    def hold_to(self, answer: Answer, digest: bytes) -> None:
        """An answer about another image is none."""
        about, self.about = self.about, None
        if about is not None and about.case == answer.case and about.image != digest:
            raise OtherImage(f"case {answer.case} is about another image")

    def take(self, answer: Answer) -> None:
        self.say(messages.Taken(answer.case))
        self.settle()

    def await_(self, kind: type[T], wanted: Callable[[T], bool]) -> T:
        for report in self.reports():
            if isinstance(report, kind) and wanted(report):
                return report
        raise Lost

    def reports(self) -> Iterator[Report]:
        """What the device says, as it comes; refusals are raised."""
        while True:
            while (report := self.next_report()) is not None:
                match report:
                    case messages.Refused(None, number) if (
                        number == UNKNOWN_MESSAGE and self.may_be_unknown
                    ):
                        # A device of before there were identities, or warnings.
                        self.may_be_unknown -= 1
                        continue
                    case messages.Refused():
                        raise RefusedError(report)
                    case messages.Hello():
                        self.hello = report
                    case messages.About():
                        self.about = report
                    case messages.Notes():
                        self.notes = report
                    case messages.SafeState() | messages.StorageFault() | messages.Warnings():
                        self.on_status(report)
                yield report
            self.turn()

    def say(self, request: Request) -> None:
        """Writes a request whole, waiting for room and for a link."""
        while self.endpoint.state != "open":
            self.turn(opening=True)
        if self.introduction == "owed":
            self.introduction = "said"
            self.may_be_unknown = 2
            self.write(messages.Identity(self.identity))
            self.write(messages.Watch())
        self.write(request)

    def write(self, request: Request) -> None:
        data = messages.pack(request)
        while data:
            data = data[self.endpoint.sender.write(data) :]
            if data:
                self.turn()

    def settle(self) -> None:
        """Waits until the device has taken all that was said."""
        while not self.endpoint.is_settled:
            self.turn()

    def next_report(self) -> Report | None:
        if len(self.inbox) < 2:
            return None
        length = int.from_bytes(self.inbox[:2], "little")
        if length > messages.MESSAGE_LENGTH:
            raise Damage("a message is longer than any")
        if len(self.inbox) < 2 + length:
            return None
        body = bytes(self.inbox[2 : 2 + length])
        del self.inbox[: 2 + length]
        return messages.unpack(body)

    def turn(self, opening: bool = False) -> None:
        """Does what is due on the line. `Lost` where the link is not the one it was."""
        now = time.monotonic()
        if now - self.heard > self.patience:
            raise Silent(f"no device answered within {self.patience:.0f} s")
        if self.timeout is not None and now - self.began > self.timeout:
            raise TimeIsUp(f"not everything was answered within {self.timeout:g} s")
        if self.call_until is not None and now > self.call_until:
            raise TimeIsUp(f"it was not answered within {self.call_timeout:g} s")
        if self.stopping.is_set():
            raise Stopped("stopped; what the device accepted it answers all the same")
        if self.endpoint.state == "closed":
            self.endpoint.open(secrets.randbits(32), now)
            self.inbox.clear()
            self.introduction, self.about, self.notes, self.may_be_unknown = "owed", None, None, 0
            if not opening:
                raise Lost
        while packet := self.endpoint.next_packet(time.monotonic()):
            self.port.write(pack(packet))
            if self.port.in_waiting:
                self.hear()
        self.hear()

    def hear(self) -> None:
        """Takes what came, or waits a moment for a byte."""
        data = self.port.read(max(1, self.port.in_waiting))
        now = time.monotonic()
        for packet in self.splitter.push(data):
            if isinstance(packet, VersionDamage):
                raise packet
            if not isinstance(packet, Damage):
                self.heard = now
                self.inbox += self.endpoint.receive(packet, now) or b""
