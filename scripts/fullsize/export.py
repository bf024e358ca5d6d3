"""Makes a full-size bundle from checkpoints on disk: SAM2-tiny finds the region, CLIP
ViT-B reads it. Needs no network, no PyTorch and no GPU; takes about a minute."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from . import bundle, clip, random_weights, sam2, sizes
from .bundle import ROOT, Request
from .checkpoint import Checkpoint, CheckpointError, declared_patch, read

EPILOG = """\
examples:
  scripts/export --sam2 sam2-hiera-tiny --clip clip-vit-base-patch16
  scripts/export --sam2 sam2.1_hiera_tiny.pt --clip my-finetuned-clip --segmenter-size 512
  scripts/export --random clip-vit-base-patch32 --segmenter-size 256 --out /tmp/try

Checkpoints are folders as `transformers` saves them (facebook/sam2-hiera-tiny,
facebook/sam2.1-hiera-tiny, openai/clip-vit-base-patch32 or -patch16) or SAM2's own .pt
file. Where medfocus has been built, the bundle is verified at the end.
"""
VOCABULARY = ROOT / "scripts/vocabulary/bpe_simple_vocab_16e6.txt.gz"


class UsageError(Exception):
    """What was asked for cannot be; the message says what would do."""


def parser_of(command: str, about: str | None, examples: str) -> argparse.ArgumentParser:
    """What each command on full-size models is told: the checkpoints, CLIP's vocabulary."""
    parser = argparse.ArgumentParser(
        prog=command,
        description=about,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--sam2", type=Path, metavar="DIR", help="checkpoint of SAM2-tiny")
    parser.add_argument("--clip", type=Path, metavar="DIR", help="checkpoint of CLIP ViT-B")
    parser.add_argument(
        "--vocabulary",
        type=Path,
        metavar="FILE",
        default=VOCABULARY,
        help="CLIP's bpe_simple_vocab_16e6.txt.gz (default: the one in scripts/vocabulary)",
    )
    return parser


def arguments() -> argparse.Namespace:
    parser = parser_of("scripts/export", __doc__, EPILOG)
    parser.add_argument(
        "--random",
        choices=sorted(clip.CONFIGS),
        help="random weights of the true architectures instead: for tests, never for answers",
    )
    parser.add_argument(
        "--segmenter-size",
        type=int,
        choices=sam2.SIDES,
        help="pixels a side of the segmenter's input (default: by models/segmenter-sizes.json "
        "where scripts/parity --sizes wrote it, else 1024, as SAM2 was trained)",
    )
    parser.add_argument(
        "--refinements",
        type=int,
        choices=range(4),
        default=0,
        help="how often SAM2 is asked again with its own mask as a prompt (default: 0)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where to (default: models/built/NAME-SIZE)"
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="DIR",
        help="images to smooth outlier channels on, the first 32 by name (default: the phantoms)",
    )
    return parser.parse_args()


def main() -> None:
    try:
        out = run(arguments())
    except (CheckpointError, UsageError) as error:
        sys.exit(f"error: {error}")
    total = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {total / 1e6:.1f} MB", flush=True)
    sys.exit(verify(out))


def verify(out: Path) -> int:
    """Has medfocus verify the bundle, where it has been built; gives the exit code."""
    built = ROOT / "target/release/medfocus"
    program = str(built) if built.is_file() else shutil.which("medfocus")
    if program is None:
        print(f"medfocus is not built here; verify with: medfocus bundle verify {out}")
        return 0
    return subprocess.run([program, "bundle", "verify", out], check=False).returncode


def run(asked: argparse.Namespace) -> Path:
    """Makes the bundle that was asked for; gives its folder."""
    if not asked.vocabulary.is_file():
        raise UsageError(
            f"{asked.vocabulary}: is not there; name CLIP's vocabulary with --vocabulary"
        )
    segmenter, text_and_image, patch = checkpoints(asked)
    template = f"sam2-tiny-clip-b{patch}"
    table = sizes.load(bundle.TEMPLATES)
    size = asked.segmenter_size or sizes.choose(table)
    out = asked.out or bundle.TEMPLATES / "built" / f"{template}-{size}"
    request = Request(
        template=template,
        segmenter=segmenter,
        clip=text_and_image,
        config=clip.CONFIGS[f"clip-vit-base-patch{patch}"],
        segmenter_size=size,
        refinements=asked.refinements,
        sizes=table,
        vocabulary=asked.vocabulary,
        images=calibration_images(asked.calibrate),
        random=asked.random is not None,
    )
    bundle.write(request, out, Steps())
    return out


def checkpoints(asked: argparse.Namespace) -> tuple[Checkpoint, Checkpoint, int]:
    """SAM2's tensors, CLIP's, and CLIP's patch size."""
    if asked.random and (asked.sam2 or asked.clip):
        raise UsageError("--random makes both checkpoints; leave --sam2 and --clip out")
    if asked.random:
        sam2_path = random_weights.folder(ROOT / ".work/random", "sam2-hiera-tiny")
        clip_path = random_weights.folder(ROOT / ".work/random", asked.random)
    elif asked.sam2 and asked.clip:
        sam2_path, clip_path = asked.sam2, asked.clip
    else:
        raise UsageError("name both checkpoints, with --sam2 DIR and --clip DIR")
    segmenter = read(sam2_path, sam2.shapes(), "SAM2")
    name = clip_name(clip_path)
    config = clip.CONFIGS[name]
    return segmenter, read(clip_path, clip.shapes(config), name), config.patch


def clip_name(path: Path) -> str:
    """Which of the supported architectures a CLIP checkpoint declares itself to be."""
    declared = declared_patch(path)
    name = f"clip-vit-base-patch{32 if declared is None else declared}"
    if name not in clip.CONFIGS:
        supported = " and ".join(clip.CONFIGS)
        raise CheckpointError(
            f"{path}: its config.json says patch size {declared}; {supported} are supported"
        )
    return name


def calibration_images(folder: Path | None) -> list[Path]:
    if folder is None:
        return sorted(bundle.PHANTOMS.glob("*.png"))
    found = (p for p in folder.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
    images = sorted(found)[:32]
    if not images:
        raise UsageError(f"{folder}: holds no image; --calibrate needs a folder of PNG or JPEG")
    return images


class Steps:
    """Says on a terminal, and only there, what is being done."""

    def __init__(self) -> None:
        self.since = time.monotonic()

    def __call__(self, step: str) -> None:
        if sys.stderr.isatty():
            print(f"{time.monotonic() - self.since:6.1f} s  {step}", file=sys.stderr)


if __name__ == "__main__":
    main()
