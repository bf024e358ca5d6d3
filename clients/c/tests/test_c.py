"""The C client: against the specification's vectors, noise, and the real program over a
pseudo-terminal. `python clients/c/tests/test_c.py`, with the program built in release and gcc."""

import hashlib
import json
import os
import pty
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tty
import unittest
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PROGRAM = ROOT / "target/release/medfocus"
VECTORS = json.loads((ROOT / "tests/vectors/link.json").read_text())
SOURCES = sorted((ROOT / "clients/c").glob("medfocus_*.c"))
STRICT = (
    "-std=c99 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes "
    "-Wmissing-prototypes -Wswitch-enum -Wvla -Werror"
).split()
SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
#: A packet or message as the vectors have it: a word, or a word and its fields.
Said = str | dict[str, Any]
KINDS = (
    "Hello Console Wanted Stored Accepted Refused Progress StorageFault Finding Refusal Aborted "
    "Fetched SafeState About Notes Warnings"
).split()
#: What would take memory from a heap, or a stack whose size nobody knows.
HEAP = {"malloc", "calloc", "realloc", "free", "alloca"}


def text(of: str) -> str:
    """As the driver shows a text: of at most 127 bytes."""
    data = of.encode()[:127]
    data = data.decode(errors="ignore").encode()
    return f"{len(data)}:{data.hex()}" if data else "0"


def shown(said: Said) -> str:
    """What the driver must show of a report of the vectors."""
    kind, fields = next(iter(said.items())) if isinstance(said, dict) else (said, {})
    get = fields.get if isinstance(fields, dict) else lambda key, default=None: default
    finding = get("finding") or {}
    step = get("step")
    stage = step["Stage"] if isinstance(step, dict) else {"index": 0, "of": 0}
    numbers = [
        KINDS.index(kind),
        get("case") or get("device") or 0,
        get("request") or 0,
        int(get("request") is not None and kind == "Refused"),
        get("number") or 0,
        get("offset") or 0,
        {"Waiting": 0, "Started": 1, None: 0}.get(step, 2) if not isinstance(step, dict) else 2,
        stage["index"],
        stage["of"],
        int(fields is True or bool(get("more"))),
        ",".join(map(str, finding.get("region", [0, 0, 0, 0]))),
        f"{finding.get('area_fraction', 0.0):.17g}",
    ]
    texts = [
        finding.get("exam") or get("bundle") or "",
        finding.get("class") or get("software") or get("code") or get("codes") or get("text") or "",
        finding.get("level") or get("cure") or get("help") or "",
        finding.get("intended_use") or get("intended_use") or "",
    ]
    classes = [
        part for name, p in finding.get("probabilities", []) for part in (text(name), f"{p:.17g}")
    ]
    image = bytes(get("image") or bytes(32)).hex()
    return " ".join([*map(str, numbers), *map(text, texts), *classes, image])


def command(said: Said) -> str:
    """What has the driver say a request of the vectors."""
    kind, fields = next(iter(said.items())) if isinstance(said, dict) else (said, {})
    number = {"Console": 0, "Put": 1, "Chunk": 2, "Run": 3, "RunWith": 3, "Fetch": 4, "Taken": 5}
    data = bytes(fields.get("image") or fields.get("bytes") or []).hex() or "-"
    words = fields.get("line") or fields.get("exam")
    region = fields.get("region")
    of = ("request", "size", "offset", "case", "identity")
    age = fields.get("age")
    return " ".join(
        map(
            str,
            [
                "request",
                number.get(kind, 6 if kind == "Client" else 8),
                next((fields[key] for key in of if key in fields), 0),
                data,
                words.replace(" ", "~") if words else "-",
                ",".join(map(str, region)) if region else "-",
                ["routine", "urgent", "stat"].index(fields.get("priority", "routine").lower()),
                "-" if age is None else age,
                fields["sex"][0].upper() if fields.get("sex") else "-",
            ],
        )
    )


class Case(unittest.TestCase):
    folder: tempfile.TemporaryDirectory[str]

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.folder.cleanup()

    @classmethod
    def build(cls, name: str, main: Path, *options: str) -> Path:
        built = Path(cls.folder.name) / name
        subprocess.run(
            ["gcc", *STRICT, *options, str(main), *map(str, SOURCES), "-o", str(built)], check=True
        )
        return built


class Codec(Case):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.driver = cls.build("driver", HERE / "driver.c", *SANITIZED)

    def drive(self, lines: list[str]) -> list[str]:
        given = "".join(line + "\n" for line in lines)
        done = subprocess.run(
            [self.driver], input=given, capture_output=True, text=True, check=False
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.splitlines()

    def test_packets_are_read_and_written_byte_for_byte(self) -> None:
        for vector in VECTORS["packets"]:
            self.assertEqual(self.drive(["run " + vector["bytes"]]), [vector["bytes"]])
        for vector in VECTORS["damaged"]:
            kind = {"C": 3, "T": 3, "V": 4, "M": 5}[vector["why"][0]]
            self.assertEqual(self.drive(["run " + vector["bytes"]]), [f"run {kind}"], vector["why"])

    def test_requests_are_written_as_the_rust_crate_writes_them(self) -> None:
        for vector in VECTORS["requests"]:
            # A request with nothing more to say goes without RunWith, as devices of before take it.
            says = vector["says"]
            plain = isinstance(says, dict) and "RunWith" in says
            fields = says["RunWith"] if plain else {}
            if plain and fields["priority"] == "Routine" and fields["age"] is fields["sex"] is None:
                continue
            self.assertEqual(self.drive([command(says)]), [vector["bytes"]], says)

    def test_reports_are_read_as_the_rust_crate_reads_them(self) -> None:
        for vector in VECTORS["reports"]:
            self.assertEqual(self.drive(["report " + vector["bytes"][4:]]), [shown(vector["says"])])

    def test_no_bytes_are_read_over_any_end(self) -> None:
        """Cut and changed reports and noise, under sanitizers."""
        chance = random.Random(1)
        lines = []
        for vector in VECTORS["reports"]:
            data = bytes.fromhex(vector["bytes"][4:])
            lines += ["report " + data[:end].hex() for end in range(1, len(data))]
            for _ in range(200):
                spoilt = bytearray(data)
                for _ in range(chance.randrange(1, 4)):
                    spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
                lines.append("report " + spoilt.hex())
        for _ in range(500):
            lines.append("run " + chance.randbytes(chance.randrange(1, 2600)).hex())
        said = self.drive(lines)
        self.assertEqual(len(said), len(lines))
        for line, vector in zip(said, lines, strict=False):
            if line.startswith("none") or vector.startswith("run"):
                continue
            self.assertRegex(line, r"^\d+ ")

    def test_sha256(self) -> None:
        chance = random.Random(2)
        for length in [1, 55, 56, 63, 64, 65, 119, 120, 1000]:
            data = chance.randbytes(length)
            self.assertEqual(
                self.drive(["sha256 " + data.hex()]), [hashlib.sha256(data).hexdigest()]
            )


class Microcontroller(Case):
    def test_it_compiles_for_a_cortex_m0_and_asks_for_no_heap(self) -> None:
        compiler = shutil.which("arm-none-eabi-gcc")
        if compiler is None:
            message = (
                "NOT TRIED: there is no arm-none-eabi-gcc here (gcc-arm-none-eabi, libnewlib-dev)"
            )
            print(message, file=sys.stderr)
            self.skipTest(message)
        for source in SOURCES:
            built = Path(self.folder.name) / (source.stem + ".o")
            options = "-mcpu=cortex-m0plus -mthumb -Os -ffunction-sections".split()
            subprocess.run(
                [compiler, *STRICT, *options, "-c", str(source), "-o", str(built)], check=True
            )
            symbols = subprocess.run(
                ["arm-none-eabi-nm", "--undefined-only", str(built)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
            self.assertFalse(HEAP & set(symbols), symbols)


class Line:
    """A pseudo-terminal with a device at one end; every so many-th byte can be lost."""

    def __init__(self, folder: Path, lose_every: int = 0) -> None:
        self.ends = [pty.openpty() for _ in range(2)]
        for end in self.ends:
            for side in end:
                tty.setraw(side)
        self.ports = [os.ttyname(end[1]) for end in self.ends]
        self.lose_every = lose_every
        self.is_over = False
        self.threads = [
            threading.Thread(
                target=self.carry, args=(self.ends[a][0], self.ends[b][0]), daemon=True
            )
            for a, b in ((0, 1), (1, 0))
        ]
        for thread in self.threads:
            thread.start()
        log = (folder / "log").open("wb")
        self.device = subprocess.Popen(
            [
                *[PROGRAM, "serve", "--serial", self.ports[0]],
                *["--state", folder / "state", "--bundle", ROOT / "models/starter"],
            ],
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        log.close()
        begin = time.monotonic()
        while b"open at" not in (folder / "log").read_bytes():
            if time.monotonic() - begin > 60:
                raise TimeoutError((folder / "log").read_text())
            time.sleep(0.05)

    def carry(self, start: int, end: int) -> None:
        count = 0
        while not self.is_over:
            try:
                data = os.read(start, 4096)
                if self.lose_every:
                    kept = bytearray()
                    for byte in data:
                        count += 1
                        if count % self.lose_every:
                            kept.append(byte)
                    data = bytes(kept)
                os.write(end, data)
            except OSError:
                return

    def close(self) -> None:
        self.is_over = True
        self.device.kill()
        self.device.wait()


class Device(Case):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.host = cls.build("host", ROOT / "clients/c/example_posix.c", *SANITIZED)

    def classify(self, line: Line, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.host, line.ports[1], *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def test_images_are_answered_on_a_clean_line_and_on_one_that_loses_bytes(self) -> None:
        for lose_every in (0, 4999):
            with self.subTest(lose_every=lose_every), tempfile.TemporaryDirectory() as folder:
                line = Line(Path(folder), lose_every)
                try:
                    brain = str(ROOT / "tests/phantoms/brain.png")
                    found = self.classify(line, brain, "brain4")
                    self.assertEqual(found.returncode, 0, found.stderr)
                    self.assertIn(
                        "case=1 exam=brain4 class=meningioma level=priority", found.stdout
                    )
                    # Another host on the same line, and another case.
                    refused = self.classify(line, str(ROOT / "README.md"))
                    self.assertEqual(refused.returncode, 1, refused.stderr)
                    self.assertIn("case=2 refusal code=unsupported_format", refused.stdout)
                    unknown = self.classify(line, brain, "nonsense")
                    self.assertEqual(unknown.returncode, 1, unknown.stdout)
                    self.assertIn("refused", unknown.stderr)
                finally:
                    line.close()
                journal = (Path(folder) / "state/journal.ndjson").read_text().splitlines()
                events = [json.loads(entry) for entry in journal]
                taken = {
                    e["case"]
                    for e in events
                    if e["event"] == "delivered" and e.get("sink", "link") == "link"
                }
                self.assertEqual(taken, {1, 2})

    def test_the_time_is_kept_where_no_device_is(self) -> None:
        end, other = pty.openpty()
        tty.setraw(other)
        port = os.ttyname(other)
        found = subprocess.run(
            [self.host, port, str(ROOT / "README.md"), "brain4", "1"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(found.returncode, 4, found.stderr)
        os.close(end)


if __name__ == "__main__":
    unittest.main()
