"""A device among archives and units that are not as one would wish, by pynetdicom and dcmtk.

Each scenario runs `medfocus serve` of its own: pynetdicom sends it images as a unit does, and the
archive at the other end takes what it takes. What arrived, what the journal says and what the
state file tells are held against what they should be.

    scripts/with-python dicom/requirements-peers.txt scripts/dicom/delivery.py PROGRAM

`--short` leaves out the archive that hangs, which takes 40 s of waiting.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ComprehensiveSRStorage,
    SegmentationStorage,
    Verification,
)

ROOT = Path(__file__).resolve().parents[2]
PATIENT = ROOT / "tests/vectors/dicom/patient.dcm"
PATIENCE = 90.0
WORDS = {
    ComprehensiveSRStorage: "sr",
    SegmentationStorage: "seg",
    SecondaryCaptureImageStorage: "sc",
}
# Character sets, and a name in each.
NAMES: list[tuple[str, str | list[str], str]] = [
    ("Latin", "ISO_IR 100", "Müller^Jörg"),
    ("Cyrillic", "ISO_IR 144", "Люксембург^Роза"),
    ("Greek", "ISO_IR 126", "Διονύσιος^Άννα"),
    ("Arabic", "ISO_IR 127", "قباني^لنزار"),
    ("Hebrew", "ISO_IR 138", "שרון^דבורה"),
    ("Japanese", ["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("Korean", ["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ("Chinese", "GB18030", "Wang^XiaoDong=王^小东"),
]


class Wrong(Exception):
    """Something is not as it should be."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def image(name: str | None = None, charset: str | list[str] | None = None) -> Dataset:
    """The patient's picture under a UID of its own."""
    data = dcmread(PATIENT)
    data.decode()
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    if name is not None:
        # What else has letters is not the matter here.
        data.ReferringPhysicianName = "Doe^Jane"
        data.StudyDescription = "head"
        data.SpecificCharacterSet = charset
        data.PatientName = name
    return data


@dataclass
class Archive:
    """An archive by pynetdicom, and all that it was sent."""

    takes: tuple[str, ...] = ("sr", "seg", "sc")
    syntaxes: tuple[str, ...] = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    status: Callable[[str], int] = lambda _word: 0
    allows: tuple[str, ...] = ()
    delay: float = 0.0
    port: int = field(default_factory=free_port)
    came: list[tuple[str, str, Dataset]] = field(default_factory=list)
    server: Any = None

    def start(self) -> None:
        """Listens from now on."""
        entity = AE(ae_title="ARCHIVE")
        for uid, word in WORDS.items():
            if word in self.takes:
                entity.add_supported_context(uid, list(self.syntaxes))
        entity.add_supported_context(Verification)
        if self.allows:
            entity.require_calling_aet = list(self.allows)
        handlers = [(evt.EVT_C_STORE, self._stored)]
        self.server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=handlers
        )

    def stop(self) -> None:
        """Is away from now on."""
        if self.server is not None:
            self.server.shutdown()
            self.server = None

    def _stored(self, event: evt.Event) -> int:
        data = event.dataset
        word = WORDS[event.request.AffectedSOPClassUID]
        # Says whether the data set can be read at all.
        data.decode()
        time.sleep(self.delay)
        self.came.append((word, str(event.context.transfer_syntax), data))
        return self.status(word)


@dataclass
class Device:
    """A device, with its archive."""

    folder: Path
    process: subprocess.Popen[bytes]
    port: int

    def store(self, *images: Dataset) -> None:
        """Sends images as a unit does."""
        entity = AE(ae_title="UNIT")
        entity.add_requested_context(SecondaryCaptureImageStorage, JPEGLSLossless)
        association = entity.associate("127.0.0.1", self.port, ae_title="MEDFOCUS")
        if not association.is_established:
            raise Wrong("the device takes no association")
        for data in images:
            status = association.send_c_store(data)
            if status.Status != 0:
                raise Wrong(f"the device answered {status.Status:04x}")
        association.release()

    def journal(self, event: str) -> list[dict[str, Any]]:
        """Entries of this kind."""
        path = self.folder / "state/journal.ndjson"
        lines = path.read_text().splitlines() if path.exists() else []
        entries = [json.loads(line) for line in lines if line.endswith("}")]
        return [entry for entry in entries if entry["event"] == event]

    def health(self) -> dict[str, Any]:
        """The archive's part of the state file."""
        try:
            said = json.loads((self.folder / "state/health.json").read_text())
        except (OSError, ValueError):
            return {}
        return next((sink for sink in said["sinks"] if sink["name"] == "pacs"), {})

    def wait(self, what: str, until: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Waits until something holds."""
        end = time.monotonic() + patience
        while not until():
            if time.monotonic() > end:
                log = (self.folder / "log").read_text()
                raise Wrong(f"{what} does not come; {self.health()}\n{log}")
            time.sleep(0.1)

    def delivered(self, count: int, sink: str = "pacs") -> None:
        """Waits until so many cases are with a sink."""

        def is_there() -> bool:
            return len([d for d in self.journal("delivered") if d["sink"] == sink]) >= count

        self.wait(f"delivery {count} to {sink}", is_there)


@contextlib.contextmanager
def device(program: Path, archive: Archive, *options: str) -> Iterator[Device]:
    """A device that sends to this archive."""
    folder = Path(tempfile.mkdtemp())
    port = free_port()
    command = [
        program, "serve", "--dicom-port", str(port), "--dicom-bind", "127.0.0.1",
        "--dicom-allow", "UNIT@127.0.0.1", "--pacs", f"ARCHIVE@127.0.0.1:{archive.port}",
        "--bundle", ROOT / "models/starter", "--state", folder / "state", *options,
    ]  # fmt: skip
    environment = {**os.environ, "MEDFOCUS_LOG": "info"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, env=environment)
    made = Device(folder, process, port)
    try:

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        made.wait("the device's port", listens)
        yield made
    finally:
        process.kill()
        process.wait()
        archive.stop()
        shutil.rmtree(folder, ignore_errors=True)


def expect(what: str, found: object, expected: object) -> None:
    """Holds what was found against what it should be."""
    if found != expected:
        raise Wrong(f"{what}: {found!r}, and not {expected!r}")


def words(archive: Archive) -> list[str]:
    """What came, in order."""
    return [word for word, _, _ in archive.came]


def notes(made: Device) -> list[str]:
    """The notes of the first delivery to the archive."""
    entries = [entry for entry in made.journal("delivered") if entry["sink"] == "pacs"]
    return list(entries[0].get("notes", []))


def implicit_alone(program: Path) -> None:
    """An archive that takes implicit VR alone."""
    archive = Archive(syntaxes=(ImplicitVRLittleEndian,))
    archive.start()
    with device(program, archive) as made:
        made.store(image())
        made.delivered(1)
        expect("objects", words(archive), ["sr", "seg", "sc"])
        expect("syntaxes", {syntax for _, syntax, _ in archive.came}, {ImplicitVRLittleEndian})
        expect("notes", notes(made), [])


def storescp_implicit(program: Path) -> None:
    """The same by dcmtk's storescp, which looks at the objects as well."""
    if shutil.which("storescp") is None:
        print("   no storescp here")
        return
    archive = Archive()
    with tempfile.TemporaryDirectory() as folder:
        command = ["storescp", "+xi", "-od", folder, "-aet", "ARCHIVE", str(archive.port)]
        storescp = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with device(program, archive) as made:
                made.store(image())
                made.delivered(1)
                files = sorted(Path(folder).iterdir())
                expect("files", len(files), 3)
                syntaxes = {dcmread(file).file_meta.TransferSyntaxUID for file in files}
                expect("syntaxes", syntaxes, {ImplicitVRLittleEndian})
        finally:
            storescp.kill()
            storescp.wait()


def without(word: str) -> Callable[[Path], None]:
    """An archive that does not take one kind of object; two cases, neither of which waits."""

    def scenario(program: Path) -> None:
        rest = tuple(other for other in ("sr", "seg", "sc") if other != word)
        archive = Archive(takes=rest)
        archive.start()
        with device(program, archive) as made:
            made.store(image(), image())
            made.delivered(2)
            expect("objects", words(archive), list(rest) * 2)
            expect("notes", notes(made), [f"{word}: class_not_taken"])
            made.wait("health", lambda: made.health()["without"] == [f"{word}: class_not_taken"])

    scenario.__doc__ = f"An archive without {word}."
    return scenario


def answering(status: int, note: str) -> Callable[[Path], None]:
    """An archive that answers everything by this status, which counts as delivered."""

    def scenario(program: Path) -> None:
        archive = Archive(status=lambda _word: status)
        archive.start()
        with device(program, archive) as made:
            made.store(image())
            made.delivered(1)
            expect("objects", words(archive), ["sr", "seg", "sc"])
            expect("notes", notes(made), [f"{word}: {note}" for word in ("sc", "seg", "sr")])

    scenario.__doc__ = f"An archive that answers {status:04x}."
    return scenario


def refusing(program: Path) -> None:
    """An archive that says of every report that its data set is wrong."""
    archive = Archive(status=lambda word: 0xA900 if word == "sr" else 0)
    archive.start()
    with device(program, archive) as made:
        made.store(image(), image())
        made.delivered(2)
        expect("objects", sorted(words(archive)), ["sc", "sc", "seg", "seg", "sr", "sr"])
        expect("notes", notes(made), ["sr: data_set_refused"])


def unknown(program: Path) -> None:
    """An archive that does not know the device, until somebody mends that."""
    archive = Archive(allows=("SOMEBODY",))
    archive.start()
    with device(program, archive) as made:
        made.store(image())
        made.wait("code", lambda: made.health().get("obstacle") == "calling_title_unknown")
        archive.stop()
        archive.allows = ()
        archive.start()
        made.delivered(1)


def away(program: Path) -> None:
    """An archive that is away, and comes back."""
    archive = Archive()
    with device(program, archive) as made:
        made.store(image())
        made.wait("code", lambda: made.health().get("obstacle") == "unreachable")
        archive.start()
        made.delivered(1)
        expect("objects", words(archive), ["sr", "seg", "sc"])


def hanging(program: Path) -> None:
    """An archive that takes objects and does not answer, and then does."""
    archive = Archive(delay=3600.0)
    archive.start()
    with device(program, archive) as made:
        made.store(image())
        made.wait("no_answer", lambda: made.health().get("obstacle") == "no_answer")
        made.wait("silent", lambda: made.health().get("obstacle") == "silent")
        # Meanwhile the device takes images and answers them.
        made.store(image())
        made.wait("answers", lambda: len(made.journal("answered")) == 2)
        archive.stop()
        archive = Archive(port=archive.port)
        archive.start()
        made.delivered(2)
        archive.stop()


def units(program: Path) -> None:
    """Units of every kind send at once: each image is answered, and is one case."""
    archive = Archive()
    archive.start()
    plain = dcmread(ROOT / "tests/vectors/dicom/implicit.dcm")
    with device(program, archive) as made:
        # As many contexts as there may be, of classes that the device does not know.
        many = AE(ae_title="UNIT")
        many.add_requested_context(plain.SOPClassUID, ImplicitVRLittleEndian)
        many.add_requested_context(SecondaryCaptureImageStorage, JPEGLSLossless)
        many.add_requested_context(Verification)
        for number in range(125):
            many.add_requested_context(f"1.2.840.10008.5.1.4.1.1.999.{number + 1}")
        # One that takes and sends any length, and one that takes next to nothing.
        lengths = (0, 4096)
        associations = [
            many.associate("127.0.0.1", made.port, ae_title="MEDFOCUS", max_pdu=length)
            for length in lengths
        ]
        for association in associations:
            if not association.is_established:
                raise Wrong("no association of 128 contexts")
        for association in associations:
            plain.SOPInstanceUID = plain.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            expect("implicit", association.send_c_store(plain).Status, 0)
            expect("echo", association.send_c_echo().Status, 0)
            moved = association.send_c_store(image(), originator_aet="ROUTER", originator_id=7)
            expect("JPEG-LS, moved", moved.Status, 0)
        associations[0].abort()
        expect("after the other's abort", associations[1].send_c_store(image()).Status, 0)
        associations[1].release()
        sent = 5
        if shutil.which("storescu"):
            for length in ("4096", "131072"):
                data = image()
                path = made.folder / "image.dcm"
                data.save_as(path)
                command = ["storescu", "-xt", "-pdu", length, "-aet", "UNIT", "-aec", "MEDFOCUS"]
                subprocess.run([*command, "localhost", str(made.port), path], check=True)
                sent += 1
        made.wait("answers", lambda: len(made.journal("answered")) == sent)
        expect("cases", len(made.journal("accepted")), sent)


def names(program: Path) -> None:
    """Names in eight scripts arrive as they left, in every output."""
    archive = Archive()
    archive.start()
    messages: list[str] = []
    receiver = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=hl7, args=(receiver, messages), daemon=True).start()
    results = Path(tempfile.mkdtemp())
    options = (
        "--hl7", f"127.0.0.1:{receiver.getsockname()[1]}",
        "--results", str(results), "--results-write", "sc,sr,seg,hl7",
    )  # fmt: skip
    with device(program, archive, *options) as made:
        for script, charset, name in NAMES:
            archive.came.clear()
            messages.clear()
            made.store(image(name, charset))
            count = 1 + [script for script, _, _ in NAMES].index(script)
            for sink in ("pacs", "hl7", "results"):
                made.delivered(count, sink)
            expect(f"{script}: objects", words(archive), ["sr", "seg", "sc"])
            for word, _, data in archive.came:
                expect(f"{script}: {word}", str(data.PatientName), name)
            newest = max(results.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
            for form in ("sc", "sr", "seg"):
                written = dcmread(newest.with_suffix(f".{form}.dcm"))
                expect(f"{script}: file {form}", str(written.PatientName), name)
            for text in (messages[0], newest.with_suffix(".hl7").read_bytes().decode()):
                pid = next(line for line in text.split("\r") if line.startswith("PID"))
                said = pid.split("|")[5]
                for group in name.split("="):
                    if group not in said.replace("^^^^^", "~"):
                        raise Wrong(f"{script}: HL7 has {said!r}, and not {group!r}")
    receiver.close()
    shutil.rmtree(results)


def hl7(receiver: socket.socket, messages: list[str]) -> None:
    """Takes every message and says so."""
    while True:
        try:
            stream, _ = receiver.accept()
        except OSError:
            return
        with stream:
            came = b""
            while not came.endswith(b"\x1c\r"):
                came += stream.recv(65536)
            text = came.strip(b"\x0b\x1c\r").decode()
            messages.append(text)
            control = text.split("|")[9]
            answer = f"MSH|^~\\&|R|R|M|M|20260101||ACK|1|P|2.5.1\rMSA|AA|{control}\r"
            stream.sendall(b"\x0b" + answer.encode() + b"\x1c\r")


def main() -> None:
    """Runs all scenarios, or the short ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path)
    parser.add_argument("--short", action="store_true", help="without the archive that hangs")
    arguments = parser.parse_args()
    scenarios: list[tuple[str, Callable[[Path], None]]] = [
        ("implicit VR alone", implicit_alone),
        ("implicit VR alone, dcmtk", storescp_implicit),
        ("no SR", without("sr")),
        ("no SEG", without("seg")),
        ("answers 0111", answering(0x0111, "duplicate")),
        ("answers B000", answering(0xB000, "warning_b000")),
        ("answers A900 to the report", refusing),
        ("does not know the device", unknown),
        ("is away", away),
        ("units of every kind", units),
        ("names in eight scripts", names),
    ]
    if not arguments.short:
        scenarios.append(("hangs", hanging))
    wrong = 0
    for title, scenario in scenarios:
        begin = time.monotonic()
        try:
            scenario(arguments.program.resolve())
            print(f"   {title}: holds ({time.monotonic() - begin:.0f} s)", flush=True)
        except Wrong as why:
            wrong += 1
            print(f"   {title}: WRONG: {why}", flush=True)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
