"""The Python client against the specification's vectors and against the real program:
`clients/python/check` runs it on the installed package, with the program built in release."""

import asyncio
import itertools
import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tty
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import serial

from medfocus_link import (
    AsyncClient,
    Client,
    OtherImage,
    RefusedError,
    Stopped,
    TimeIsUp,
    messages,
    wire,
)
from medfocus_link.client import Status
from medfocus_link.postcard import Damage
from medfocus_link.table import table

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = ROOT / "target/release/medfocus"
VECTORS = json.loads((ROOT / "tests/vectors/link.json").read_text())
BAUD = 1_000_000

#: A packet or message as the vectors have it: a word, or a word and its fields.
Said = str | dict[str, Any]


def packet_of(said: Said) -> wire.Packet:
    match said:
        case {"Open": fields}:
            return wire.Open(**fields)
        case {"Opened": fields}:
            return wire.Opened(**fields)
        case {"Data": fields}:
            return wire.Data(fields["sequence"], bytes(fields["bytes"]))
        case {"Ack": fields}:
            return wire.Ack(**fields)
        case "Reset":
            return wire.Reset()
        case "Close":
            return wire.Close()
    raise ValueError(said)


def request_of(said: Said) -> messages.Request:
    match said:
        case {"Console": fields}:
            return messages.Console(**fields)
        case {"Put": fields}:
            return messages.Put(bytes(fields["image"]), fields["size"])
        case {"Chunk": fields}:
            return messages.Chunk(fields["offset"], bytes(fields["bytes"]))
        case {"Run": fields}:
            image, region = bytes(fields["image"]), fields["region"]
            sides = None if region is None else tuple(region)
            return messages.Run(fields["request"], image, fields["exam"], sides)
        case "Fetch":
            return messages.Fetch()
        case "Watch":
            return messages.Watch()
        case {"Taken": fields}:
            return messages.Taken(**fields)
        case {"Client": fields}:
            return messages.Identity(**fields)
        case {"RunWith": fields}:
            region, sex = fields["region"], fields["sex"]
            return messages.RunWith(
                fields["request"],
                bytes(fields["image"]),
                fields["exam"],
                None if region is None else tuple(region),
                messages.Priority[fields["priority"].upper()],
                fields["age"],
                None if sex is None else messages.Sex[sex.upper()],
            )
    raise ValueError(said)


def report_of(said: Said) -> messages.Report:
    match said:
        case {"Hello": fields}:
            return messages.Hello(**fields)
        case {"Console": fields}:
            return messages.ConsoleText(**fields)
        case {"Wanted": fields}:
            return messages.Wanted(bytes(fields["image"]), fields["offset"])
        case {"Stored": fields}:
            return messages.Stored(bytes(fields["image"]))
        case {"Accepted": fields}:
            return messages.Accepted(**fields)
        case {"Refused": fields}:
            return messages.Refused(**fields)
        case {"Progress": {"case": case, "step": {"Stage": stage}}}:
            return messages.Progress(case, messages.Stage(**stage))
        case {"Progress": {"case": case, "step": "Waiting"}}:
            return messages.Progress(case, messages.Waiting())
        case {"Progress": {"case": case, "step": "Started"}}:
            return messages.Progress(case, messages.Started())
        case {"StorageFault": failed}:
            return messages.StorageFault(failed)
        case {"Finding": {"case": case, "finding": fields}}:
            fields = dict(fields) | {
                "answer": fields["class"],
                "probabilities": dict(fields["probabilities"]),
                "region": tuple(fields["region"]),
            }
            del fields["class"]
            return messages.Finding(case, **fields)
        case {"Refusal": fields}:
            return messages.Refusal(**fields)
        case {"Aborted": fields}:
            return messages.Aborted(**fields)
        case "Fetched":
            return messages.Fetched()
        case {"SafeState": fields}:
            return messages.SafeState(**fields)
        case {"About": fields}:
            return messages.About(fields["case"], bytes(fields["image"]))
        case {"Notes": fields}:
            return messages.Notes(**fields)
        case {"Warnings": fields}:
            return messages.Warnings(**fields)
    raise ValueError(said)


class Vectors(unittest.TestCase):
    def test_packets(self) -> None:
        for vector in VECTORS["packets"]:
            packet, data = packet_of(vector["says"]), bytes.fromhex(vector["bytes"])
            self.assertEqual(wire.pack(packet).hex(), data.hex(), vector)
            self.assertEqual(list(wire.Splitter().push(data)), [packet])

    def test_damaged_frames_are_refused(self) -> None:
        for vector in VECTORS["damaged"]:
            (damage,) = wire.Splitter().push(bytes.fromhex(vector["bytes"]))
            self.assertIsInstance(damage, Damage, vector)
            is_version = vector["why"].startswith("Version")
            self.assertEqual(isinstance(damage, wire.VersionDamage), is_version, vector)

    def test_requests_and_reports(self) -> None:
        for vector in VECTORS["requests"]:
            request, body = request_of(vector["says"]), bytes.fromhex(vector["bytes"])[2:]
            self.assertEqual(messages.pack(request).hex(), vector["bytes"])
            self.assertEqual(messages.REQUESTS.unpack(body), request)
        for vector in VECTORS["reports"]:
            report, body = report_of(vector["says"]), bytes.fromhex(vector["bytes"])[2:]
            self.assertEqual(messages.unpack(body), report)
            self.assertEqual(messages.REPORTS.write(report).hex(), body.hex())


@contextmanager
def cable() -> Iterator[tuple[str, str]]:
    """The paths of two pseudo-terminals with a cable between."""
    ends = [pty.openpty(), pty.openpty()]
    for ours, theirs in ends:
        tty.setraw(theirs)
        os.set_blocking(ours, False)
    ended = threading.Event()

    def carry() -> None:
        while not ended.is_set():
            for (source, _), (target, _) in (ends, ends[::-1]):
                try:
                    data = os.read(source, 1024)
                    os.write(target, data)
                except BlockingIOError:
                    time.sleep(0.0005)

    carrier = threading.Thread(target=carry)
    carrier.start()
    try:
        yield os.ttyname(ends[0][1]), os.ttyname(ends[1][1])
    finally:
        ended.set()
        carrier.join()
        for end in ends:
            for handle in end:
                os.close(handle)


@contextmanager
def device(port: str, *options: str) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as state:
        command = [str(PROGRAM), "serve", "--serial", port, "--baud", str(BAUD), "--state", state]
        command += options
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        assert process.stderr
        try:
            while "open at" not in process.stderr.readline():
                assert process.poll() is None
            yield
        finally:
            process.kill()
            process.communicate()


class Commands(unittest.TestCase):
    def test_both_names_of_the_program_and_their_exit_codes(self) -> None:
        image = str(ROOT / "tests/phantoms/brain.png")
        script = str(Path(sys.executable).with_name("medfocus-link"))
        for command in ([sys.executable, "-m", "medfocus_link"], [script]):
            with self.subTest(command), cable() as (ours, theirs), device(theirs):
                baud = ["--baud", str(BAUD)]
                found = subprocess.run(
                    [*command, ours, image, "--exam", "brain4", *baud],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                self.assertEqual(found.returncode, 0, found.stderr)
                answer = json.loads(found.stdout)
                self.assertEqual((answer["status"], answer["source"]), ("finding", image))
                refused = subprocess.run(
                    [*command, ours, __file__, *baud], capture_output=True, check=False
                )
                self.assertEqual(refused.returncode, 1)
        nobody = subprocess.run(
            [script, "/no/such/port", image], capture_output=True, text=True, check=False
        )
        self.assertEqual((nobody.returncode, nobody.stdout), (3, ""))
        self.assertEqual(subprocess.run([script], capture_output=True, check=False).returncode, 2)


class Tables(unittest.TestCase):
    def test_every_answer_is_a_row(self) -> None:
        found = messages.Finding(
            7, "brain4", "glioma", "priority", {"glioma": 0.8, "none": 0.2}, (1, 2, 3, 4), 0.5,
            "demonstration", ("unsure",),
        )  # fmt: skip
        refused = messages.Refusal(8, "blank", "take it again", "demonstration")
        told = table([("a.png", found), ("b.png", refused), messages.Aborted(9)])
        self.assertEqual(list(told["case"]), [7, 8, 9])
        self.assertEqual(list(told["status"]), ["finding", "refusal", "aborted"])
        first = told.iloc[0]
        self.assertEqual((first["name"], first["p"], first["p_none"]), ("a.png", 0.8, 0.2))
        self.assertEqual((first["notes"], first["height"]), ("unsure", 4))
        self.assertEqual(told.iloc[1]["code"], "blank")
        self.assertTrue(told.iloc[1][["p", "answer", "p_glioma"]].isna().all())
        self.assertEqual(len(table([])), 0)
        self.assertIn("code", table([]).columns)


class Async(unittest.IsolatedAsyncioTestCase):
    async def test_the_loop_goes_on_and_callbacks_are_called_on_it(self) -> None:
        image = (ROOT / "tests/phantoms/brain.png").read_bytes()
        heard: list[tuple[str, int]] = []
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.005)

        with cable() as (ours, theirs), device(theirs):
            async with AsyncClient(ours, BAUD, timeout=60) as client:
                counting = asyncio.create_task(count())

                def progress(what: str, done: int, of: int) -> None:
                    self.assertTrue(asyncio.get_running_loop())
                    heard.append((what, done))

                answer = await client.classify(image, "brain4", on_progress=progress)
                assert isinstance(answer, messages.Finding)
                self.assertEqual(answer.answer, "meningioma")
                self.assertEqual({what for what, _ in heard}, {"sent", "stage"})
                self.assertGreater(turns, 5)
                self.assertTrue((await client.console("*IDN?")).startswith("medfocus,"))
                path = ROOT / "tests/phantoms/breast.png"
                asked = await client.console(f'CASE:RUN? "{path}"')
                if asked.startswith("ERR"):
                    # A console of before the strict one.
                    asked = await client.console(f'CASE:RUN "{path}"')
                case = int(asked)
                while await client.console("*OPC?") == "0":
                    await asyncio.sleep(0.01)
                self.assertEqual([a.case async for a in client.fetch()], [case])
                counting.cancel()

    async def test_a_call_ends_when_it_is_cancelled_or_its_time_is_over(self) -> None:
        image = (ROOT / "tests/phantoms/brain.png").read_bytes()
        with cable() as (ours, _theirs):
            async with AsyncClient(ours, BAUD) as client:
                asked = asyncio.create_task(client.classify(image))
                await asyncio.sleep(0.2)
                asked.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await asked
                begin = time.monotonic()
                with self.assertRaises(TimeIsUp):
                    await client.classify(image, timeout=0.5)
                self.assertLess(time.monotonic() - begin, 5)


class RealDevice(unittest.TestCase):
    def test_a_call_can_be_stopped_from_another_thread(self) -> None:
        with cable() as (ours, _theirs), Client.connect(ours, BAUD) as client:
            threading.Timer(0.2, client.stop).start()
            with self.assertRaises(Stopped):
                client.classify(b"image")

    def test_console_images_and_answers(self) -> None:
        with cable() as (ours, theirs), device(theirs):
            port = serial.Serial(ours, BAUD, timeout=0.005)
            with port, Client(port, BAUD) as client:
                self.assertTrue(client.console("*IDN?").startswith("medfocus,"))
                record = client.console("HELP?")
                self.assertIn("CASE:RUN", record)
                heard: list[str] = []
                image = (ROOT / "tests/phantoms/brain.png").read_bytes()
                answer = client.classify(
                    image, "brain4", None, lambda what, done, of: heard.append(what)
                )
                assert isinstance(answer, messages.Finding)
                self.assertEqual(set(heard), {"sent", "stage"})
                self.assertAlmostEqual(sum(answer.probabilities.values()), 1.0, places=5)
                whole = json.loads(client.console(f"CASE:RES? {answer.case},JSON"))
                self.assertEqual(whole["class"], answer.answer)
                self.assertEqual(whole["mask"]["bbox"], list(answer.region))
                answer = client.classify(b"no image")
                assert isinstance(answer, messages.Refusal)
                self.assertEqual(answer.code, "unsupported_format")
                with self.assertRaises(RefusedError):
                    client.classify(image, "knee")
                path = ROOT / "tests/phantoms/breast.png"
                asked = client.console(f'CASE:RUN? "{path}"')
                if asked.startswith("ERR"):
                    # A console of before the strict one.
                    asked = client.console(f'CASE:RUN "{path}"')
                case = int(asked)
                while client.console("*OPC?") == "0":
                    time.sleep(0.01)
                self.assertEqual([a.case for a in client.fetch()], [case])
                self.assertEqual(list(client.fetch()), [], "taken once")

    def test_request_numbers_belong_to_their_client(self) -> None:
        image = (ROOT / "tests/phantoms/brain.png").read_bytes()
        other = (ROOT / "tests/phantoms/breast.png").read_bytes()
        with cable() as (ours, theirs), device(theirs):
            for identity, first in ((1, image), (2, other)):
                port = serial.Serial(ours, BAUD, timeout=0.005)
                with port, Client(port, BAUD) as client:
                    client.identity, client.numbers = identity, itertools.count(1)
                    answer = client.classify(first, "brain4", priority=messages.Priority.STAT)
                    self.assertEqual(answer.case, identity, "each has a number 1 of its own")
                    assert client.hello
                    client.numbers = itertools.count(1)
                    second = other if first is image else image
                    with self.assertRaises(RefusedError) as refused:
                        client.classify(second, "brain4")
                    self.assertEqual(refused.exception.number, 34)
                    self.assertIn("the highest in use is 1", str(refused.exception))

    def test_the_safe_state_is_told_and_waiting_comes_to_an_end(self) -> None:
        image = (ROOT / "tests/phantoms/brain.png").read_bytes()
        with tempfile.TemporaryDirectory() as folder, cable() as (ours, theirs):
            bundle = Path(folder) / "bundle"
            shutil.copytree(ROOT / "models/starter", bundle)
            (bundle / "heads/brain4.safetensors").write_text("spoilt")
            heard: list[Status] = []
            with device(theirs, "--bundle", str(bundle), "--folder", str(bundle / "missing")):
                port = serial.Serial(ours, BAUD, timeout=0.005)
                client = Client(port, BAUD, timeout=3.0, on_status=heard.append)
                with port, client, self.assertRaises(TimeIsUp):
                    client.classify(image, "brain4")
            codes = {told.code for told in heard if isinstance(told, messages.SafeState)}
            self.assertEqual(codes, {"bundle_hash"})
            warned = ",".join(told.codes for told in heard if isinstance(told, messages.Warnings))
            self.assertIn("folder_away", warned)

    def test_an_answer_about_another_image_is_none(self) -> None:
        client = Client.__new__(Client)
        answer = messages.Refusal(7, "blank", "take it again", "demonstration")
        for image, is_mine in ((b"m" * 32, True), (b"o" * 32, False)):
            client.about = messages.About(7, image)
            if is_mine:
                client.hold_to(answer, b"m" * 32)
            else:
                with self.assertRaises(OtherImage):
                    client.hold_to(answer, b"m" * 32)
            self.assertIsNone(client.about)


if __name__ == "__main__":
    unittest.main()
