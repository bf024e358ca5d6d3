"""Holds medfocus's reading of texts against pydicom's: names in every character set.

Each name is encoded by pydicom or Python, written into a copy of a small object, and given to the
program; the name in the Secondary Capture that comes of it must be the one that pydicom reads in
the copy. Where pydicom warns that it guessed, medfocus must have left the text out or said so.

    scripts/with-python dicom/requirements-peers.txt scripts/dicom/texts.py target/release/medfocus
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import urllib.request
import warnings
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests/vectors/dicom/patient.dcm"

# pydicom 3.0.2 parts component groups at a byte `=` within a kanji, and writes no escapes for
# ISO 2022 IR 58; it reads neither back. medfocus must read the name that was written.
NOT_READ_BY_PYDICOM = ("\u5c71\u672c^\u6625", "\u5f20^\u5c0f\u4e1c")

# Terms and a name; pydicom encodes it by them.
NAMES = [
    ("ISO_IR 6", "Adams^John Robert Quincy^^Rev.^B.A. M.Div."),
    ("ISO_IR 100", "Buc^J\u00e9r\u00f4me"),
    ("ISO_IR 101", "Wa\u0142\u0119sa^Lech"),
    ("ISO_IR 109", "\u0126al^\u0120or\u0121"),
    ("ISO_IR 110", "\u0122irts^\u0100"),
    ("ISO_IR 144", "\u041b\u044e\u043ace\u043c\u0431yp\u0433"),
    ("ISO_IR 127", "\u0642\u0628\u0627\u0646\u064a^\u0644\u0646\u0632\u0627\u0631"),
    ("ISO_IR 126", "\u0394\u03b9\u03bf\u03bd\u03c5\u03c3\u03b9\u03bf\u03c2"),
    ("ISO_IR 138", "\u05e9\u05e8\u05d5\u05df^\u05d3\u05d1\u05d5\u05e8\u05d4"),
    ("ISO_IR 148", "\u00c7avu\u015fo\u011flu"),
    ("ISO_IR 166", "\u0e19\u0e32\u0e21\u0e2a\u0e01\u0e38\u0e25"),
    ("ISO_IR 192", "Wang^XiaoDong=\u738b^\u5c0f\u6771"),
    ("GB18030", "Wang^XiaoDong=\u738b^\u5c0f\u4e1c"),
    ("GB18030", "Ma=\u4e57^\u5c0f"),
    ("GBK", "Zhang=\u5f20^\u5c0f\u4e1c"),
    (
        "\\ISO 2022 IR 87",
        "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce=\u3084\u307e\u3060^\u305f\u308d\u3046",
    ),
    ("\\ISO 2022 IR 87", "Yamamoto^H=\u5c71\u672c^\u6625"),
    (
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        "\uff94\uff8f\uff80\uff9e^\uff80\uff9b\uff73=\u5c71\u7530^\u592a\u90ce",
    ),
    ("\\ISO 2022 IR 149", "Hong^Gildong=\u6d2a^\u5409\u6d1e=\ud64d^\uae38\ub3d9"),
    ("\\ISO 2022 IR 58", "Zhang^XiaoDong=\u5f20^\u5c0f\u4e1c"),
    ("ISO 2022 IR 100\\ISO 2022 IR 144", "B\u00fcc=\u041b\u044e\u043a"),
]


def written(folder: Path, number: int, terms: str, name: str) -> Path:
    data: Dataset = dcmread(SOURCE)
    data.SpecificCharacterSet = terms.split("\\")
    data.PatientName = name
    path = folder / f"{number}.dcm"
    data.save_as(path)
    return path


def theirs(path: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = dcmread(path)
        data.decode()
        return str(data.PatientName)


def ours(program: Path, path: Path, archive: str | None) -> tuple[set[str], list[str]]:
    """The names in all objects and in the archive; what the answer says of texts."""
    with tempfile.TemporaryDirectory() as out:
        run = [program, "classify", path, "--write", "sc,sr,seg,hl7", "--to", out]
        made = subprocess.run([*run, "--format", "json"], check=True, capture_output=True)
        objects = list(Path(out).glob("*.dcm"))
        names = {str(dcmread(file).PatientName) for file in objects}
        if archive:
            names |= {returned(archive, file) for file in objects}
        # In UTF-8, every component group of the name is a repetition.
        message = next(Path(out).glob("*.hl7")).read_bytes().decode("utf-8")
        name = next(line for line in message.split("\r") if line.startswith("PID")).split("|")[5]
        groups = ["^".join(part.split("^")[:3]).rstrip("^") for part in name.split("~")]
        written = [group for group in str(dcmread(objects[0]).PatientName).split("=") if group]
        plain = ["^".join(group.split("^")[:3]).rstrip("^") for group in written]
        if groups != plain:
            names.add(f"HL7: {name}")
        notes = json.loads(made.stdout)["reasons"]
        return names, [note for note in notes if note.startswith(("text_", "character_"))]


def returned(archive: str, file: Path) -> str:
    """The name that Orthanc tells of an object that was sent to it."""
    host, port, api = archive.split(",")
    send = ["storescu", "-R", "-aec", "ORTHANC", host, port, file]
    subprocess.run(send, check=True, capture_output=True)
    uid = str(dcmread(file).SOPInstanceUID).encode()
    with urllib.request.urlopen(f"{api}/tools/lookup", data=uid) as found:
        instance = next(i["ID"] for i in json.load(found) if i["Type"] == "Instance")
    with urllib.request.urlopen(f"{api}/instances/{instance}/simplified-tags") as tags:
        return str(json.load(tags)["PatientName"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path)
    parser.add_argument("--archive", help="an Orthanc: HOST,PORT,URL; the names come back from it")
    arguments = parser.parse_args()
    program = arguments.program.resolve()
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, (terms, name) in enumerate(NAMES):
            path = written(Path(folder), number, terms, name)
            (read, doubts), expected = ours(program, path, arguments.archive), theirs(path)
            is_known = expected != name and name.endswith(NOT_READ_BY_PYDICOM)
            if read != {name} or not (is_known or (expected == name and not doubts)):
                wrong += 1
                print(f"{terms}: {name!r}, pydicom {expected!r}, medfocus {read} {doubts}")
    print(f"{len(NAMES)} names, {wrong} read otherwise")
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
