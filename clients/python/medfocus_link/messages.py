"""What host and device say over a link, each kind at its number."""

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from .postcard import (
    BOOLEAN,
    BYTES,
    F64,
    I16,
    SHA256,
    TEXT,
    U8,
    U32,
    U64,
    Kinds,
    array,
    option,
    pairs,
)

MESSAGE_LENGTH = 1024
CHUNK_LENGTH = 1000

Region = tuple[int, int, int, int]
REGION = array(U32, 4)


# What the host says.


@dataclass(frozen=True)
class Console:
    line: str


@dataclass(frozen=True)
class Put:
    image: bytes
    size: int


@dataclass(frozen=True)
class Chunk:
    offset: int
    data: bytes


@dataclass(frozen=True)
class Run:
    request: int
    image: bytes
    exam: str | None = None
    region: Region | None = None


@dataclass(frozen=True)
class Fetch:
    pass


@dataclass(frozen=True)
class Taken:
    case: int


@dataclass(frozen=True)
class Identity:
    """Who this host is, said first on each link."""

    identity: int


class Priority(IntEnum):
    ROUTINE = 0
    URGENT = 1
    STAT = 2


class Sex(IntEnum):
    FEMALE = 0
    MALE = 1
    OTHER = 2


@dataclass(frozen=True)
class RunWith:
    request: int
    image: bytes
    exam: str | None = None
    region: Region | None = None
    priority: Priority = Priority.ROUTINE
    #: In whole years.
    age: int | None = None
    sex: Sex | None = None


@dataclass(frozen=True)
class Watch:
    """Say on this link what needs a person before long, by `Warnings`."""


Request = Console | Put | Chunk | Run | Fetch | Taken | Identity | RunWith | Watch
REQUESTS: Kinds[Request] = Kinds(
    (Console, TEXT),
    (Put, SHA256, U32),
    (Chunk, U32, BYTES),
    (Run, U64, SHA256, option(TEXT), option(REGION)),
    (Fetch,),
    (Taken, U64),
    (Identity, U64),
    (RunWith, U64, SHA256, option(TEXT), option(REGION), U8, option(U8), option(U8)),
    (Watch,),
)


def pack(request: Request) -> bytes:
    """A request with its length before it."""
    body = REQUESTS.write(request)
    if len(body) > MESSAGE_LENGTH:
        raise ValueError(f"{len(body)} bytes are more than a message holds")
    return struct.pack("<H", len(body)) + body


# How a case goes on.


@dataclass(frozen=True)
class Waiting:
    pass


@dataclass(frozen=True)
class Started:
    pass


@dataclass(frozen=True)
class Stage:
    #: Counted from 0.
    index: int
    of: int


Step = Waiting | Started | Stage
STEPS: Kinds[Step] = Kinds((Waiting,), (Started,), (Stage, U8, U8))


# What the device says.


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
    step: Step


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
    region: Region
    area_fraction: float
    intended_use: str
    #: Codes of what else its reader must know, as `unsure`; from the message before it.
    notes: tuple[str, ...] = field(default=(), metadata={"wire": False})


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


@dataclass(frozen=True)
class SafeState:
    #: Both are empty where it is over.
    code: str
    cure: str


@dataclass(frozen=True)
class About:
    """Which image the answer that follows is about."""

    case: int
    image: bytes


@dataclass(frozen=True)
class Notes:
    """What else a reader must know of the answer that follows."""

    case: int
    #: Stable codes, comma between.
    codes: str


@dataclass(frozen=True)
class Warnings:
    """What needs a person before long; cases are answered all the same."""

    #: Stable codes, comma between; both are empty where nothing does.
    codes: str
    #: What to do about the first of them.
    help: str


Answer = Finding | Refusal | Aborted
Report = (
    Hello | ConsoleText | Wanted | Stored | Accepted | Refused | Progress | StorageFault
    | Finding | Refusal | Aborted | Fetched | SafeState | About | Notes | Warnings
)  # fmt: skip
REPORTS: Kinds[Report] = Kinds(
    (Hello, U64, TEXT, TEXT, TEXT),
    (ConsoleText, TEXT, BOOLEAN),
    (Wanted, SHA256, U32),
    (Stored, SHA256),
    (Accepted, U64, U64),
    (Refused, option(U64), I16, TEXT),
    (Progress, U64, STEPS),
    (StorageFault, BOOLEAN),
    (Finding, U64, TEXT, TEXT, TEXT, pairs(TEXT, F64), REGION, F64, TEXT),
    (Refusal, U64, TEXT, TEXT, TEXT),
    (Aborted, U64),
    (Fetched,),
    (SafeState, TEXT, TEXT),
    (About, U64, SHA256),
    (Notes, U64, TEXT),
    (Warnings, TEXT, TEXT),
)


def unpack(body: bytes) -> Report:
    """A report without its length."""
    return REPORTS.unpack(body)
