"""What host and device say over a link: requests are written, reports are read."""

import struct
from dataclasses import dataclass, field

from .wire import Damage, Reader, varint

MESSAGE_LENGTH = 1024
CHUNK_LENGTH = 1000


def text(value: str) -> bytes:
    data = value.encode()
    return varint(len(data)) + data


@dataclass(frozen=True)
class Console:
    line: str

    def body(self) -> bytes:
        return bytes([0]) + text(self.line)


@dataclass(frozen=True)
class Put:
    image: bytes
    size: int

    def body(self) -> bytes:
        return bytes([1]) + self.image + varint(self.size)


@dataclass(frozen=True)
class Chunk:
    offset: int
    data: bytes

    def body(self) -> bytes:
        return bytes([2]) + varint(self.offset) + varint(len(self.data)) + self.data


@dataclass(frozen=True)
class Run:
    request: int
    image: bytes
    exam: str | None = None
    region: tuple[int, int, int, int] | None = None

    def body(self) -> bytes:
        exam = bytes([0]) if self.exam is None else bytes([1]) + text(self.exam)
        region = bytes([0])
        if self.region is not None:
            region = bytes([1]) + b"".join(varint(side) for side in self.region)
        return bytes([3]) + varint(self.request) + self.image + exam + region


@dataclass(frozen=True)
class Fetch:
    def body(self) -> bytes:
        return bytes([4])


@dataclass(frozen=True)
class Taken:
    case: int

    def body(self) -> bytes:
        return bytes([5]) + varint(self.case)


Request = Console | Put | Chunk | Run | Fetch | Taken


def pack(request: Request) -> bytes:
    """A request with its length before it."""
    body = request.body()
    if len(body) > MESSAGE_LENGTH:
        raise ValueError(f"{len(body)} bytes are more than a message holds")
    return struct.pack("<H", len(body)) + body


@dataclass(frozen=True)
class Hello:
    device: int
    software: str
    bundle: str
    intended_use: str


@dataclass(frozen=True)
class ConsoleText:
    text: str
    more: bool


@dataclass(frozen=True)
class Wanted:
    image: bytes
    offset: int


@dataclass(frozen=True)
class Stored:
    image: bytes


@dataclass(frozen=True)
class Accepted:
    request: int
    case: int


@dataclass(frozen=True)
class Refused:
    request: int | None
    number: int
    text: str


@dataclass(frozen=True)
class Progress:
    case: int
    #: "waiting", "started" or "stage"; a stage is counted from 0.
    step: str
    index: int = 0
    of: int = 0


@dataclass(frozen=True)
class StorageFault:
    failed: bool


@dataclass(frozen=True)
class Finding:
    case: int
    exam: str
    #: The class that is answered.
    answer: str
    level: str
    #: The likeliest first.
    probabilities: dict[str, float] = field(hash=False)
    region: tuple[int, int, int, int]
    area_fraction: float
    intended_use: str


@dataclass(frozen=True)
class Refusal:
    case: int
    code: str
    cure: str
    intended_use: str


@dataclass(frozen=True)
class Aborted:
    case: int


@dataclass(frozen=True)
class Fetched:
    pass


Answer = Finding | Refusal | Aborted
Report = (
    Hello | ConsoleText | Wanted | Stored | Accepted | Refused | Progress | StorageFault
    | Finding | Refusal | Aborted | Fetched
)  # fmt: skip


def unpack(body: bytes) -> Report:
    """A report without its length."""
    reader = Reader(body)
    report = report_from(reader)
    reader.end()
    return report


def report_from(r: Reader) -> Report:
    match r.byte():
        case 0:
            return Hello(r.unsigned(64), r.text(), r.text(), r.text())
        case 1:
            return ConsoleText(r.text(), r.boolean())
        case 2:
            return Wanted(r.take(32), r.unsigned(32))
        case 3:
            return Stored(r.take(32))
        case 4:
            return Accepted(r.unsigned(64), r.unsigned(64))
        case 5:
            return Refused(r.unsigned(64) if r.boolean() else None, r.signed(16), r.text())
        case 6:
            return progress_from(r)
        case 7:
            return StorageFault(r.boolean())
        case 8:
            return finding_from(r)
        case 9:
            return Refusal(r.unsigned(64), r.text(), r.text(), r.text())
        case 10:
            return Aborted(r.unsigned(64))
        case 11:
            return Fetched()
        case _:
            raise Damage("no such report")


def progress_from(r: Reader) -> Progress:
    case = r.unsigned(64)
    match r.byte():
        case 0:
            return Progress(case, "waiting")
        case 1:
            return Progress(case, "started")
        case 2:
            return Progress(case, "stage", r.byte(), r.byte())
        case _:
            raise Damage("no such step")


def finding_from(r: Reader) -> Finding:
    case, exam, answer, level = r.unsigned(64), r.text(), r.text(), r.text()
    probabilities = {}
    for _ in range(r.unsigned(32)):
        name = r.text()
        probabilities[name] = r.double()
    region = (r.unsigned(32), r.unsigned(32), r.unsigned(32), r.unsigned(32))
    return Finding(case, exam, answer, level, probabilities, region, r.double(), r.text())
