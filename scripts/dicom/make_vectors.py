"""Makes the small DICOM files of `tests/vectors/dicom`, one for each way of compressing.

The pictures are drawn here; pydicom, pylibjpeg-openjpeg, pyjpegls and dcmtk's dcmcjpeg
compress them. `made.csv` holds the SHA-256 of what went in, as 64-bit integers.
`jpeg.dcm` is lossy, and of the same picture as `jpeg-lossless-14.dcm`.

    python make_vectors.py        # needs dcmtk
"""

from __future__ import annotations

import csv
import hashlib
import subprocess
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    UltrasoundMultiFrameImageStorage,
)

FOLDER = Path(__file__).resolve().parents[2] / "tests/vectors/dicom"
ROWS, COLUMNS = 44, 38


def picture(bits: int, samples: int, frames: int = 1, signed: bool = False) -> np.ndarray:
    """A ramp, a disc and noise in every channel."""
    generator = np.random.default_rng(bits * 10 + samples)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    made = []
    for frame in range(frames):
        for channel in range(samples):
            disc = (x - 12 - 3 * channel - 2 * frame) ** 2 + (y - 20) ** 2 < 90
            values = (x + y) / (ROWS + COLUMNS) * 0.6 + disc * 0.3
            values += generator.random((ROWS, COLUMNS)) * 0.05
            made.append(values)
    array = np.array(made).reshape(frames, samples, ROWS, COLUMNS).transpose(0, 2, 3, 1)
    top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    low = -(2 ** (bits - 1)) if signed else 0
    wide = np.dtype("i2" if signed else "u2") if bits > 8 else np.dtype("u1")
    return (array * (top - low) + low).astype(wide)


def dataset(array: np.ndarray, bits: int, syntax: str) -> Dataset:
    frames, rows, columns, samples = array.shape
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = "2.25.1"
    data.SOPClassUID = UltrasoundMultiFrameImageStorage
    data.SOPInstanceUID = "2.25.1"
    data.Modality = "US"
    data.Rows, data.Columns, data.SamplesPerPixel = rows, columns, samples
    data.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = array.dtype.itemsize * 8
    data.BitsStored, data.HighBit = bits, bits - 1
    data.PixelRepresentation = int(array.dtype.kind == "i")
    if frames > 1:
        data.NumberOfFrames = frames
    data.PixelData = array.tobytes() + b"\0" * (array.nbytes % 2)
    data["PixelData"].VR = "OB" if array.dtype.itemsize == 1 else "OW"
    return data


def write(data: Dataset, name: str) -> Path:
    path = FOLDER / name
    data.save_as(path, enforce_file_format=True)
    return path


def big_endian(array: np.ndarray, bits: int) -> Dataset:
    data = dataset(array, bits, ExplicitVRBigEndian)
    data.PixelData = array.astype(array.dtype.newbyteorder(">")).tobytes()
    data["PixelData"].VR = "OW"
    return data


def compressed(array: np.ndarray, bits: int, syntax: str) -> Dataset:
    data = dataset(array, bits, ExplicitVRLittleEndian)
    data.compress(syntax, generate_instance_uid=False)
    return data


def with_own_transform(rgb: np.ndarray) -> Dataset:
    """JPEG 2000 that made its components of RGB, as most archives write it."""
    data = dataset(rgb, 8, ExplicitVRLittleEndian)
    data.PhotometricInterpretation = "YBR_RCT"
    data.compress(JPEG2000Lossless, generate_instance_uid=False)
    return data


def by_dcmtk(array: np.ndarray, bits: int, option: str, name: str) -> Path:
    plain = write(dataset(array, bits, ExplicitVRLittleEndian), "plain.dcm")
    subprocess.run(["dcmcjpeg", option, "+un", plain, FOLDER / name], check=True)
    plain.unlink()
    return FOLDER / name


def fragments(array: np.ndarray, bits: int) -> Dataset:
    """Two frames in two fragments each, found by the offset table alone."""
    data = compressed(array, bits, RLELossless)
    frames = list(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=len(array)))
    data.PixelData = encapsulate(frames, fragments_per_frame=2, has_bot=True)
    data["PixelData"].VR = "OB"
    return data


def patient() -> Dataset:
    """The brain phantom as a unit would send it, of a patient who never was."""
    with Image.open(FOLDER.parents[1] / "phantoms/brain.png") as phantom:
        pixels = np.asarray(phantom.convert("L"))[None, :, :, None]
    data = dataset(pixels, 8, ExplicitVRLittleEndian)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "2.25.4711"
    data.StudyInstanceUID, data.SeriesInstanceUID = "2.25.4712", "2.25.4713"
    data.SpecificCharacterSet = "ISO_IR 100"
    data.PatientName, data.PatientID = "M\u00fcller^Eva", "P|0815"
    data.PatientBirthDate, data.PatientSex = "19700101", "F"
    data.StudyDate, data.StudyTime, data.StudyID = "20260102", "101112", "7"
    data.AccessionNumber, data.ReferringPhysicianName = "ACC42", "Doe^J"
    data.Modality, data.BodyPartExamined, data.ConversionType = "MR", "BRAIN", "WSD"
    data.SeriesNumber, data.InstanceNumber, data.PatientOrientation = "1", "1", ""
    data.compress(JPEGLSLossless, generate_instance_uid=False)
    return data


def digest(values: np.ndarray) -> str:
    return hashlib.sha256(values.astype("<i8").tobytes()).hexdigest()


def main() -> None:
    grey8, grey12, grey16 = picture(8, 1), picture(12, 1), picture(16, 1)
    signed, rgb, cine = picture(16, 1, signed=True), picture(8, 3), picture(8, 1, frames=3)
    made = {
        "implicit.dcm": (
            write(dataset(grey12, 12, ImplicitVRLittleEndian), "implicit.dcm"),
            grey12,
        ),
        "big.dcm": (write(big_endian(signed, 16), "big.dcm"), signed),
        "deflated.dcm": (
            write(dataset(rgb, 8, DeflatedExplicitVRLittleEndian), "deflated.dcm"),
            rgb,
        ),
        "rle.dcm": (write(compressed(grey16, 16, RLELossless), "rle.dcm"), grey16),
        "rle-rgb.dcm": (write(compressed(rgb, 8, RLELossless), "rle-rgb.dcm"), rgb),
        "rle-fragments.dcm": (write(fragments(cine, 8), "rle-fragments.dcm"), cine),
        "jpegls.dcm": (write(compressed(grey12, 12, JPEGLSLossless), "jpegls.dcm"), grey12),
        "jpegls-rgb.dcm": (write(compressed(rgb, 8, JPEGLSLossless), "jpegls-rgb.dcm"), rgb),
        "j2k.dcm": (write(compressed(signed, 16, JPEG2000Lossless), "j2k.dcm"), signed),
        "j2k-rgb.dcm": (write(compressed(rgb, 8, JPEG2000Lossless), "j2k-rgb.dcm"), rgb),
        "j2k-rct.dcm": (write(with_own_transform(rgb), "j2k-rct.dcm"), rgb),
        "jpeg-lossless.dcm": (by_dcmtk(grey16, 16, "+e1", "jpeg-lossless.dcm"), grey16),
        "jpeg-lossless-14.dcm": (by_dcmtk(grey8, 8, "+el", "jpeg-lossless-14.dcm"), grey8),
        "jpeg-lossless-rgb.dcm": (by_dcmtk(rgb, 8, "+e1", "jpeg-lossless-rgb.dcm"), rgb),
    }
    by_dcmtk(grey8, 8, "+eb", "jpeg.dcm")
    write(patient(), "patient.dcm")
    with (FOLDER / "made.csv").open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["file", "frames", "sha256"])
        for name, (_, values) in made.items():
            writer.writerow([name, len(values), digest(values)])


if __name__ == "__main__":
    main()
