"""postcard (https://postcard.jamesmunns.com/wire-format), as far as the line needs it: how
fields are written and read, and which fields each kind of packet or message has."""

import dataclasses
import struct
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class Damage(Exception):
    """Bytes that are none of what was to come."""


class Reader:
    """Takes bytes from the front; raises `Damage` where there are none left."""

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

    def end(self) -> None:
        if self.at != len(self.data):
            raise Damage("bytes are left over")


@dataclasses.dataclass(frozen=True)
class Field(Generic[T]):
    """How a field of one type goes over the line."""

    write: Callable[[T], bytes]
    read: Callable[[Reader], T]


def unsigned(bits: int) -> Field[int]:
    """A varint: seven bits a byte, the lowest first."""

    def write(value: int) -> bytes:
        out = bytearray()
        while value >= 0x80:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
        return bytes(out)

    def read(reader: Reader) -> int:
        value = shift = 0
        while True:
            byte = reader.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits + 7:
                raise Damage("a number is too long")
        if value >= 1 << bits:
            raise Damage("a number is too large")
        return value

    return Field(write, read)


U16, U32, U64 = unsigned(16), unsigned(32), unsigned(64)


def read_signed(reader: Reader) -> int:
    value = U16.read(reader)
    return value >> 1 ^ -(value & 1)


def read_boolean(reader: Reader) -> bool:
    byte = reader.byte()
    if byte > 1:
        raise Damage("neither true nor false")
    return byte == 1


def read_text(reader: Reader) -> str:
    try:
        return BYTES.read(reader).decode()
    except UnicodeDecodeError as error:
        raise Damage("not UTF-8") from error


U8 = Field(lambda value: bytes([value]), Reader.byte)
#: Zigzag: 0, -1, 1, -2 and so on are 0, 1, 2, 3.
I16 = Field(lambda value: U16.write(value << 1 if value >= 0 else ~(value << 1)), read_signed)
F64 = Field(
    lambda value: struct.pack("<d", value),
    lambda reader: float(struct.unpack("<d", reader.take(8))[0]),
)
BOOLEAN = Field(lambda value: bytes([value]), read_boolean)
BYTES = Field(
    lambda value: U32.write(len(value)) + value,
    lambda reader: reader.take(U32.read(reader)),
)
TEXT = Field(lambda value: BYTES.write(value.encode()), read_text)
SHA256: Field[bytes] = Field(lambda value: value, lambda reader: reader.take(32))


def option(of: Field[T]) -> Field[T | None]:
    return Field(
        lambda value: b"\0" if value is None else b"\1" + of.write(value),
        lambda reader: of.read(reader) if read_boolean(reader) else None,
    )


def array(of: Field[T], length: int) -> Field[tuple[T, ...]]:
    return Field(
        lambda value: b"".join(map(of.write, value)),
        lambda reader: tuple(of.read(reader) for _ in range(length)),
    )


def pairs(key: Field[str], of: Field[T]) -> Field[dict[str, T]]:
    """A list of pairs; in Python a dictionary, which keeps their order."""

    def write(value: dict[str, T]) -> bytes:
        each = (key.write(name) + of.write(what) for name, what in value.items())
        return U32.write(len(value)) + b"".join(each)

    def read(reader: Reader) -> dict[str, T]:
        return {key.read(reader): of.read(reader) for _ in range(U32.read(reader))}

    return Field(write, read)


class Kinds(Generic[T]):
    """One of several data classes: its place among them, then its fields in order."""

    def __init__(self, *kinds: tuple[type[T], *tuple[Any, ...]]) -> None:
        self.kinds = kinds

    def write(self, said: T) -> bytes:
        for number, (kind, *fields) in enumerate(self.kinds):
            if type(said) is kind:
                members = dataclasses.fields(cast(Any, said))
                of_line = (member for member in members if member.metadata.get("wire", True))
                values = (getattr(said, member.name) for member in of_line)
                written = (f.write(value) for f, value in zip(fields, values, strict=True))
                return bytes([number]) + b"".join(written)
        raise TypeError(f"{type(said).__name__} is none of these")

    def read(self, reader: Reader) -> T:
        number = reader.byte()
        if number >= len(self.kinds):
            raise Damage("no such kind")
        kind, *fields = self.kinds[number]
        return kind(*(field.read(reader) for field in fields))

    def unpack(self, body: bytes) -> T:
        """Reads all of a body."""
        reader = Reader(body)
        said = self.read(reader)
        reader.end()
        return said
