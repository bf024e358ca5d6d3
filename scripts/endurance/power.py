"""The power fails at every write of a session.

strace records what a device asks of the file system; here that is played onto a disk that
holds nothing until it was synced. At each call that changes anything the power fails: what was
not synced is lost, kept, or torn in the middle of a sector's row. On what is left the device
must open at the last state that it has told anyone of.
"""

from __future__ import annotations

import random
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from .device import PHANTOMS, Device, Gone, Hung, fresh, judge, panicked

SECTOR = 512
CALLS = (
    "openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,mkdir,mkdirat,"
    "unlink,unlinkat,link,linkat,close,fallocate"
)
CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
FILE = re.compile(r"(\d+)<([^>]*)>")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
# A path, and the folder that it is looked up from where the call names one.
PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:\\x[0-9a-f]{2})*)"')


@dataclass
class File:
    """What is written, and what of it is on the disk."""

    now: bytearray = field(default_factory=bytearray)
    durable: bytes = b""


@dataclass
class Disk:
    """The state folder: files by their inode, and the names by which they are found."""

    files: dict[int, File] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    durable_names: dict[str, int] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    told: set[int] = field(default_factory=set)
    """Cases whose number the console has printed."""

    def make(self, name: str) -> File:
        if name not in self.names:
            self.names[name] = len(self.files)
            self.files[self.names[name]] = File()
        return self.files[self.names[name]]

    def sync(self, name: str) -> None:
        if name in self.names:
            # A file that is synced is found again under its name: ext4 and others do so.
            file = self.files[self.names[name]]
            file.durable = bytes(file.now)
            self.durable_names[name] = self.names[name]
        else:
            inside = {n: i for n, i in self.names.items() if Path(n).parent == Path(name)}
            gone = [n for n in self.durable_names if Path(n).parent == Path(name)]
            for n in gone:
                del self.durable_names[n]
            self.durable_names.update(inside)

    def left(self, how: str, chance: random.Random) -> dict[str, bytes]:
        """The files that are there when the power is back."""
        if how == "kept":
            return {name: bytes(self.files[i].now) for name, i in self.names.items()}
        found = {}
        for name, i in self.durable_names.items():
            file = self.files[i]
            found[name] = file.durable if how == "lost" else torn(file, chance)
        return found


def torn(file: File, chance: random.Random) -> bytes:
    """Of what was not synced, some sectors are there and others are zeros or old."""
    if bytes(file.now) == file.durable:
        return file.durable
    length = chance.choice([len(file.durable), len(file.now)])
    old = file.durable[:length].ljust(length, b"\0")
    new = bytes(file.now[:length]).ljust(length, b"\0")
    sectors = range(0, length, SECTOR)
    return b"".join((new if chance.random() < 0.5 else old)[at : at + SECTOR] for at in sectors)


def decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def named(arguments: str) -> list[str]:
    """The paths that a call names, whole."""
    return [
        str(Path(decoded(folder).decode(), decoded(text).decode()))
        for folder, text in PATH.findall(arguments)
    ]


def calls(log: Path) -> list[str]:
    """The recorded calls, each on one line, in the order in which they ended."""
    begun: dict[str, str] = {}
    whole = []
    for line in log.read_text().splitlines():
        process = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            begun[process] = line.removesuffix("<unfinished ...>")
        elif resumed := re.match(r"^\d+ +<\.\.\. \w+ resumed>", line):
            whole.append(begun.pop(process, "") + line[resumed.end() :])
        else:
            whole.append(line)
    return whole


class Replay:
    """Plays the recorded calls onto a disk."""

    def __init__(self, state: Path, cases: int) -> None:
        """`cases` numbers are the first that the console prints."""
        self.state, self.disk, self.cases = state, Disk(), cases
        self.offsets: dict[str, int] = {}
        self.appending: set[str] = set()

    def name(self, path: str) -> str | None:
        try:
            name = str(Path(path).relative_to(self.state))
        except ValueError:
            return None
        return "" if name == "." else name

    def play(self, line: str) -> bool:
        """Plays one line; whether it changed anything that could be lost."""
        found = CALL.match(line)
        if not found or int(found[3]) < 0:
            return False
        call, arguments, result = found[1], found[2], int(found[3])
        file = FILE.search(arguments)
        texts = [decoded(text) for text in TEXT.findall(arguments)]
        path = decoded(file[2]).decode() if file and file[2].startswith("\\x") else file and file[2]
        name = self.name(path) if path else None
        if call == "write" and file and file[1] == "1":
            said = texts[0].strip() if texts else b""
            if said.isdigit() and len(self.disk.told) < self.cases:
                self.disk.told.add(int(said))
            return False
        if call == "openat":
            opened = self.name(named(arguments)[0])
            if opened and "O_CREAT" in arguments:
                self.disk.make(opened)
                if "O_TRUNC" in arguments:
                    self.disk.make(opened).now.clear()
            self.offsets[opened or ""] = 0
            self.appending |= {opened} if opened and "O_APPEND" in arguments else set()
            return bool(opened) and "O_CREAT" in arguments
        if call in ("write", "pwrite64") and name in self.disk.names:
            held, data = self.disk.files[self.disk.names[name]].now, texts[0][:result]
            at = len(held) if name in self.appending else self.offsets.get(name, 0)
            if call == "pwrite64":
                at = int(arguments.rsplit(",", 1)[1])
            held.extend(bytes(max(0, at - len(held))))
            held[at : at + len(data)] = data
            if call == "write":
                self.offsets[name] = at + len(data)
        elif call == "ftruncate" and name in self.disk.names:
            held = self.disk.files[self.disk.names[name]].now
            length = int(arguments.rsplit(",", 1)[1])
            held[:] = held[:length].ljust(length, b"\0")
        elif call == "fallocate" and name in self.disk.names:
            held = self.disk.files[self.disk.names[name]].now
            held[:] = held.ljust(int(arguments.rsplit(",", 1)[1]), b"\0")
        elif call in ("fsync", "fdatasync") and name is not None:
            self.disk.sync(name)
        elif call.startswith("rename"):
            old, new = (self.name(path) for path in named(arguments)[:2])
            if old in self.disk.names and new:
                self.disk.names[new] = self.disk.names.pop(old)
        elif call.startswith("link"):
            old, new = (self.name(path) for path in named(arguments)[:2])
            if old in self.disk.names and new:
                self.disk.names[new] = self.disk.names[old]
        elif call.startswith("unlink") and texts:
            self.disk.names.pop(self.name(named(arguments)[0]) or "", None)
        elif call.startswith("mkdir") and texts:
            self.disk.folders |= {self.name(named(arguments)[0]) or ""}
        else:
            return False
        return True


def run(folder: Path, most: int | None, seed: int) -> dict[str, int]:
    """At every change: all that was told of is there, the journal is whole, a device starts."""
    state, log = fresh(folder, "power"), folder / "power.strace"
    before = ["strace", "-f", "-y", "-xx", "-s", 1 << 20, "-o", log, "-e", f"trace={CALLS}"]
    device = Device(state, before=before)
    session = PHANTOMS * 2
    for image in session:
        device.run(image)
    device.wait_until_idle()
    device.end()
    replay, chance, moments = Replay(state, len(session)), random.Random(seed), []
    for line in calls(log):
        if replay.play(line):
            how = ("lost", "kept", "torn")[len(moments) % 3] if most else None
            for way in [how] if how else ["lost", "kept", "torn"]:
                left = replay.disk.left(way, chance)
                moments.append((left, set(replay.disk.folders), set(replay.disk.told)))
    if most:
        moments = moments[:: max(1, len(moments) // most)][:most]
    found = {"tried": len(moments), "lost": 0, "twice": 0, "failed": 0}
    for left, folders, told in moments:
        for key, value in _open(folder, left, folders, told).items():
            found[key] += value
    return found


def _open(
    folder: Path, left: dict[str, bytes], folders: set[str], told: set[int]
) -> dict[str, int]:
    state = fresh(folder, "after")
    for name in folders:
        (state / name).mkdir(parents=True, exist_ok=True)
    for name, content in left.items():
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_bytes(content)
    try:
        found = judge(state, told)
    except (Gone, Hung):
        return {"lost": 0, "twice": 0, "failed": 1}
    finally:
        shutil.rmtree(state, ignore_errors=True)
    found["failed"] += panicked(state)
    return found
