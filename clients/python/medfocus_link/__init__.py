"""The host of a medfocus device's framed serial link: `docs/protocol.md`, in Python.

`wire` turns bytes into packets, `endpoint` packets into a reliable stream, `messages` the
stream into what both ends say, `client` all of it into: send an image, take the answers.
How packets and messages are written as bytes is in `postcard`; `aio` is the same client for
`asyncio`, `table` makes a table of findings.
Written from the specification alone, so that it and the Rust client check each other.
"""

from .aio import AsyncClient
from .client import Client, OtherImage, RefusedError, Silent, Stopped, TimeIsUp
from .messages import (
    Aborted,
    Answer,
    Finding,
    Notes,
    Priority,
    Refusal,
    SafeState,
    Sex,
    StorageFault,
    Warnings,
)
from .wire import VersionDamage

__all__ = [
    "Aborted",
    "Answer",
    "AsyncClient",
    "Client",
    "Finding",
    "Notes",
    "OtherImage",
    "Priority",
    "Refusal",
    "RefusedError",
    "SafeState",
    "Sex",
    "Silent",
    "Stopped",
    "StorageFault",
    "TimeIsUp",
    "VersionDamage",
    "Warnings",
]
