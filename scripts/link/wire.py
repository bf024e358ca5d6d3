"""Bytes on the line: runs, frames, packets."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

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


class Damage(Exception):
    """A run that ended as a frame and is none."""


class VersionDamage(Damage):
    """A whole frame of another protocol version."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the device speaks version {version}, this client {VERSION}")


def varint(value: int) -> bytes:
    """postcard's unsigned integers: seven bits a byte, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Reader:
    """Reads postcard; raises `Damage` where the bytes end or do not fit."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        part = self.data[self.at : self.at + count]
        if len(part) != count:
            raise Damage("cut short")
        self.at += count
        return part

    def byte(self) -> int:
        return self.take(1)[0]

    def unsigned(self, bits: int) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits + 7:
                raise Damage("a number is too long")
        if value >= 1 << bits:
            raise Damage("a number is too large")
        return value

    def signed(self, bits: int) -> int:
        value = self.unsigned(bits)
        return value >> 1 ^ -(value & 1)

    def boolean(self) -> bool:
        byte = self.byte()
        if byte > 1:
            raise Damage("neither true nor false")
        return byte == 1

    def double(self) -> float:
        (value,) = struct.unpack("<d", self.take(8))
        return float(value)

    def octets(self) -> bytes:
        return self.take(self.unsigned(32))

    def text(self) -> str:
        try:
            return self.octets().decode()
        except UnicodeDecodeError as error:
            raise Damage("not UTF-8") from error

    def end(self) -> None:
        if self.at != len(self.data):
            raise Damage("bytes are left over")


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
    match packet:
        case Open(nonce):
            body = bytes([0]) + varint(nonce)
        case Opened(nonce):
            body = bytes([1]) + varint(nonce)
        case Data(sequence, data):
            body = bytes([2]) + varint(sequence) + varint(len(data)) + data
        case Ack(sequence):
            body = bytes([3]) + varint(sequence)
        case Reset():
            body = bytes([4])
        case Close():
            body = bytes([5])
    body = bytes([VERSION]) + body
    coded = cobs(body + struct.pack("<I", zlib.crc32(body)))
    wire = bytearray([END])
    for byte in coded:
        wire += bytes([DLE, byte ^ STUFFED]) if byte in (LF, CR, DLE) else bytes([byte])
    return bytes(wire + bytes([END]))


def unpack(coded: bytes) -> Packet:
    """A frame without its ends and stuffing."""
    whole = uncobs(coded)
    body, crc = whole[:-4], whole[-4:]
    if len(crc) != 4 or struct.pack("<I", zlib.crc32(body)) != crc:
        raise Damage("checksum")
    reader = Reader(body)
    if (version := reader.byte()) != VERSION:
        raise VersionDamage(version)
    packet: Packet
    match reader.byte():
        case 0:
            packet = Open(reader.unsigned(32))
        case 1:
            packet = Opened(reader.unsigned(32))
        case 2:
            packet = Data(reader.unsigned(16), reader.octets())
        case 3:
            packet = Ack(reader.unsigned(16))
        case 4:
            packet = Reset()
        case 5:
            packet = Close()
        case _:
            raise Damage("no such packet")
    reader.end()
    return packet


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
