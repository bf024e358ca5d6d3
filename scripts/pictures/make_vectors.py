"""Makes the small files of `tests/vectors/pictures`: pictures as other programs write them.

`kinds.csv` names the files of kinds that medfocus does not read, and what each is called in
its refusal. `pages.csv` names the pictures of files that hold several: the file, the
picture's number, how many there are, and the SHA-256 of its luma; nothing where the file is
lossy. All are phantoms, drawn here.

    python make_vectors.py        # needs ffmpeg, ImageMagick and libjpeg-turbo's cjpeg
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import subprocess
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pillow_heif
import tifffile
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "tests/vectors/pictures"
SIDE = 40


def phantom(number: int) -> np.ndarray:
    """A ramp with a disc in another place for each number."""
    y, x = np.mgrid[:SIDE, :SIDE]
    disc = (x - 10 - 9 * number) ** 2 + (y - 20) ** 2 < 60
    return (x + y + 120 * disc + 10 * number).astype(np.uint8)


def run(*command: str | Path) -> None:
    """Runs a program that writes a file."""
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def kinds() -> list[tuple[str, str]]:
    """Files of kinds that are not read, and their names."""
    luma = phantom(0)
    picture = Image.fromarray(luma)
    colour = picture.convert("RGB")
    source = FOLDER / "source.pgm"
    picture.save(source)
    made: list[tuple[str, str]] = []

    def path(name: str, what: str) -> Path:
        made.append((name, what))
        return FOLDER / name

    picture.save(path("still.gif", "a GIF image"))
    second = Image.fromarray(phantom(1))
    picture.save(path("moving.gif", "a GIF image"), save_all=True, append_images=[second])
    colour.save(path("image.webp", "a WebP image"))
    colour.save(path("image.avif", "an AVIF image"))
    pillow_heif.register_heif_opener()
    colour.save(path("image.heic", "a HEIC/HEIF image"))
    picture.save(path("image.jp2", "a JPEG 2000 image"))
    picture.save(path("image.j2k", "a JPEG 2000 codestream"))
    picture.save(path("image.pcx", "a PCX image"))
    picture.save(path("image.sgi", "an SGI image"))
    long_ago = time.gmtime(0)
    pdf = path("document.pdf", "a PDF document")
    picture.save(pdf, creationDate=long_ago, modDate=long_ago)
    picture.save(path("document.eps", "a PostScript document"))
    colour.save(path("image.qoi", "a QOI image"))
    colour.save(path("image.ico", "an icon"), sizes=[(16, 16)])
    picture.convert("CMYK").save(path("print.jpg", "in the colours of print"))
    picture.convert("CMYK").save(path("print.tif", "in the colours of print"))
    path("image.jxl", "a JPEG XL image").write_bytes(imagecodecs.jpegxl_encode(luma))
    path("image.jxr", "a JPEG XR image").write_bytes(imagecodecs.jpegxr_encode(luma))
    path("image.jls", "a JPEG-LS image").write_bytes(imagecodecs.jpegls_encode(luma))
    path("lossless.jpg", "a lossless JPEG").write_bytes(imagecodecs.ljpeg_encode(luma))
    deep = imagecodecs.jpeg8_encode(luma.astype(np.uint16) << 4, bitspersample=12)
    path("deep.jpg", "a JPEG of more than 8 bits").write_bytes(deep)
    arithmetic = path("arithmetic.jpg", "a JPEG with arithmetic coding")
    run("cjpeg", "-arithmetic", "-outfile", arithmetic, source)
    floats = np.dstack([luma, luma // 2, luma]).astype(np.float32)
    tifffile.imwrite(path("float.tif", "of floating-point samples"), floats, photometric="rgb")
    raw = path("raw.tif", "a camera's raw image")
    tifffile.imwrite(raw, luma.astype(np.uint16), photometric="cfa", metadata=None)
    run("convert", source, path("document.psd", "a Photoshop document"))
    run("convert", source, path("image.fits", "a FITS image"))
    film = (
        "ffmpeg",
        "-y",
        "-loop",
        "1",
        "-i",
        source,
        "-frames:v",
        "2",
        "-pix_fmt",
        "yuv420p",
        "-fflags",
        "+bitexact",
    )
    for name in ["film.mp4", "film.avi", "film.mkv"]:
        run(*film, path(name, "a video"))
    header = bytearray(352)
    header[:4] = (348).to_bytes(4, "little")
    header[344:348] = b"n+1\0"
    volume = bytes(header) + luma.tobytes()
    path("volume.nii", "a NIfTI volume").write_bytes(volume)
    path("volume.nii.gz", "a NIfTI volume").write_bytes(gzip.compress(volume, mtime=0))
    packed = gzip.compress(source.read_bytes(), mtime=0)
    path("image.pgm.gz", "an image packed with gzip").write_bytes(packed)
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"/>\n'
    path("drawing.svg", "an SVG drawing").write_text(drawing)
    source.unlink()
    return made


def pages() -> list[tuple[str, int, int, str]]:
    """Files with several pictures, and what each picture is."""
    pixels = [phantom(number) for number in range(3)]
    one, two, three = (Image.fromarray(luma) for luma in pixels)
    made: list[tuple[str, int, int, str]] = []

    def path(name: str, shown: list[np.ndarray], lossy: bool = False) -> Path:
        for number, luma in enumerate(shown, 1):
            sha256 = "" if lossy else hashlib.sha256(luma.tobytes()).hexdigest()
            made.append((name, number, len(shown), sha256))
        return FOLDER / name

    later = [two, three]
    tiff = {"save_all": True, "append_images": later}
    one.save(path("pages.tif", pixels), **tiff)
    one.save(path("pages-lzw.tif", pixels), compression="tiff_lzw", **tiff)
    tifffile.imwrite(
        path("big.tif", pixels), np.stack(pixels), bigtiff=True, photometric="minisblack"
    )
    tifffile.imwrite(path("imagej.tif", pixels), np.stack(pixels), imagej=True)
    tifffile.imwrite(
        path("big-endian.tif", pixels), np.stack(pixels), byteorder=">", photometric="minisblack"
    )
    with tifffile.TiffWriter(path("within.tif", pixels[:2])) as file:
        file.write(pixels[0], subifds=1, metadata=None)
        file.write(pixels[1], metadata=None)
    small = pixels[0][::2, ::2]
    with tifffile.TiffWriter(path("pyramid.tif", pixels[:1])) as file:
        file.write(pixels[0], subifds=1, metadata=None)
        file.write(small, subfiletype=1, metadata=None)
    with tifffile.TiffWriter(path("thumbnail-first.tif", pixels[:1])) as file:
        file.write(small, subfiletype=1, metadata=None)
        file.write(pixels[0], metadata=None)
    moving = {"save_all": True, "append_images": later}
    one.save(path("moving.png", pixels), **moving)
    one.save(path("moving-apart.png", pixels), default_image=True, **moving)
    palette = [Image.fromarray(luma).convert("P") for luma in pixels]
    palette[0].save(path("moving-palette.png", pixels), save_all=True, append_images=palette[1:])
    one.save(path("moving-once.png", pixels[:1]), save_all=True)
    one.save(path("pictures.jpg", pixels, lossy=True), format="MPO", **moving)
    one.save(path("picture.jpg", pixels[:1], lossy=True), format="MPO", save_all=True)
    return made


def main() -> None:
    """Writes files and tables."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, head, rows in [
        ("kinds.csv", ("file", "what"), kinds()),
        ("pages.csv", ("file", "frame", "of", "sha256"), pages()),
    ]:
        with (FOLDER / name).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([head, *sorted(rows)])


if __name__ == "__main__":
    main()
