"""Bytes on the line: runs, frames, packets."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from .postcard import BYTES, U16, U32, Damage, Kinds, Reader

VERSION = 1
DATA_LENGTH = 960
RUN_LENGTH = 1024

END, LF, CR, DLE = 0x00, 0x0A, 0x0D, 0x10
STUFFED = 0x20


@dataclass(frozen=True)
class Open:
    nonce: int


@dataclass(frozen=True)
class Opened:
    nonce: int


@dataclass(frozen=True)
class Data:
    sequence: int
    data: bytes


@dataclass(frozen=True)
class Ack:
    sequence: int


@dataclass(frozen=True)
class Reset:
    pass


@dataclass(frozen=True)
class Close:
    pass


Packet = Open | Opened | Data | Ack | Reset | Close
PACKETS: Kinds[Packet] = Kinds(
    (Open, U32),
    (Opened, U32),
    (Data, U16, BYTES),
    (Ack, U16),
    (Reset,),
    (Close,),
)


class VersionDamage(Damage):
    """A whole frame of another protocol version."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the device speaks version {version}, this client {VERSION}")


def cobs(data: bytes) -> bytes:
    """Consistent overhead byte stuffing (Cheshire and Baker, 1999)."""
    out = bytearray()
    block = bytearray()
    for byte in data:
        if byte:
            block.append(byte)
        if not byte or len(block) == 254:
            out += bytes([len(block) + 1]) + block
            # A full block stands for no zero; it is followed by another one.
            block.clear()
    return bytes(out + bytes([len(block) + 1]) + block)


def uncobs(data: bytes) -> bytes:
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        block = data[at + 1 : at + code]
        if code == 0 or len(block) != code - 1:
            raise Damage("COBS")
        out += block
        at += code
        if code != 255 and at < len(data):
            out.append(0)
    return bytes(out)


def pack(packet: Packet) -> bytes:
    """A frame as it goes over the line."""
    body = bytes([VERSION]) + PACKETS.write(packet)
    coded = cobs(body + struct.pack("<I", zlib.crc32(body)))
    wire = bytearray([END])
    for byte in coded:
        wire += bytes([DLE, byte ^ STUFFED]) if byte in (LF, CR, DLE) else bytes([byte])
    return bytes(wire + bytes([END]))


def unpack(coded: bytes) -> Packet:
    """A frame without its ends and stuffing; `Damage` where it is none."""
    whole = uncobs(coded)
    body, crc = whole[:-4], whole[-4:]
    if len(crc) != 4 or struct.pack("<I", zlib.crc32(body)) != crc:
        raise Damage("checksum")
    version = Reader(body).byte()
    if version != VERSION:
        raise VersionDamage(version)
    return PACKETS.unpack(body[1:])


class Splitter:
    """Cuts bytes into runs; gives the frames, as packets or what was wrong with them.
    Console lines are for others."""

    def __init__(self) -> None:
        self.run = bytearray()
        self.stuffed = False

    def push(self, data: bytes) -> Iterator[Packet | Damage]:
        for byte in data:
            if byte in (END, LF, CR):
                run, self.run, self.stuffed = bytes(self.run), bytearray(), False
                if byte == END and run:
                    yield self.frame(run)
            elif byte == DLE:
                self.stuffed = True
            else:
                self.run.append(byte ^ STUFFED if self.stuffed else byte)
                self.stuffed = False
                # One more than the longest is enough to know that it is too long.
                del self.run[RUN_LENGTH + 1 :]

    @staticmethod
    def frame(run: bytes) -> Packet | Damage:
        if len(run) > RUN_LENGTH:
            return Damage("too long")
        try:
            return unpack(run)
        except Damage as damage:
            return damage
