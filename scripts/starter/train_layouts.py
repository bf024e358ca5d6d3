"""Trains the gate's models of layouts: one whole film, several, a part of one, or another thing.

Pictures of every layout (`pictures`) are made from training films and measured by the built
program (`cargo run --release --example layout_measures`), so that the formulas of
`src/gate/layout.rs` stand in one place. A layer of `HIDDEN` and one of four outputs a kind learn
from these numbers; the threshold is chosen on films that the model was not trained on. Never
shown: a validation image.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import ImageOps
from safetensors.numpy import save_file
from torch import Tensor, nn

from bundling.manifest import write as write_manifest

from . import data, pictures
from .train_gate import KINDS, SETTINGS

PROGRAM = Path(__file__).resolve().parents[2] / "target/release/examples/layout_measures"
FILE = "gate/layouts.safetensors"
ANSWERS = ["same", "several", "partial", "other"]
HIDDEN = 64
REFUSED_RIGHT = 0.003
"""Share of the bare films that the threshold may refuse, of those not trained on."""
PARTS_ARE_FILMS = {"breast"}
"""Kinds of which a part looks like a whole."""
BARE = {"bare", "trimmed", "windowed", "shape"}
PHANTOMS = 24
"""How often the drawn film of the tests is shown: it stands for a whole film."""
TASKS = {"covid3", "lung_tb2", "brain4", "breast3"}
NEIGHBOURS = {"lateral_cxr", "ct_chest", "ct_head", "knee_xray", "abdominal_us", "mammogram"}
"""Other kinds of the second collection that stand beside films."""


def excluded(images: Path) -> set[str]:
    """Images that nothing may be made from."""
    with (images / "exclude.csv").open(newline="") as handle:
        return {row["file"] for row in csv.DictReader(handle)}


def own_films(images: Path, tasks: list[str], split: set[str], held: bool) -> list[Path]:
    """Images of these tasks: validation images where `held`, else all others."""
    leave_out = excluded(images)
    rows = [r for r in data.load_rows(images) if r.task in tasks and r.task in TASKS]
    return [
        images / r.file for r in rows if r.file not in leave_out and (r.sha256 in split) == held
    ]


def other_films(more: Path, tasks: set[str], labels: set[str] | None = None) -> list[Path]:
    """Training images of the second collection, where there is one."""
    if not (more / "manifest.csv").exists():
        return []
    with (more / "manifest.csv").open(newline="") as handle:
        rows = [r for r in csv.DictReader(handle) if r["split"] == "train" and r["task"] in tasks]
    return [more / r["file"] for r in rows if labels is None or r["label"] in labels]


def made(
    films: list[Path], foreign: list[Path], kind: str, draw: Random
) -> Iterator[tuple[int, str, pictures.Film]]:
    """Pictures of every film: its number, `ANSWER/LAYOUT`, the picture."""
    pool = [pictures.read(str(p)) for p in draw.sample(films, min(len(films), 80))]
    others = [pictures.read(str(p)) for p in draw.sample(foreign, min(len(foreign), 80))]
    mirrors = kind != "brain"
    for number, path in enumerate(films):
        film = pictures.read(str(path))
        if mirrors and draw.random() < 0.5:
            film = ImageOps.mirror(film)
        yield number, "same/bare", film
        for name in draw.sample(sorted(pictures.SAME), 3):
            yield number, f"same/{name}", pictures.SAME[name](film, pool, draw)
        for name in draw.sample(sorted(pictures.SEVERAL), 3):
            beside = pool if draw.random() < 0.8 else others
            yield number, f"several/{name}", pictures.SEVERAL[name](film, beside, draw)
        if kind not in PARTS_ARE_FILMS:
            for name in draw.sample(sorted(pictures.PARTIAL), 3):
                yield number, f"partial/{name}", pictures.PARTIAL[name](film, pool, draw)
        turned = film.rotate(draw.choice([90, 180, 270]))
        another = {"turned": turned, "inverted": ImageOps.invert(film), "kind": draw.choice(others)}
        name = draw.choice(sorted(another))
        yield number, f"other/{name}", another[name]


def measured(
    bundle: Path, numbered: Iterator[tuple[int, str, pictures.Film]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of the films, names of the layouts, measures `[N, COUNT]`."""
    numbers, names, rows = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        program = subprocess.Popen(
            [PROGRAM, bundle], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert program.stdin and program.stdout
        path = Path(folder) / "picture.pgm"
        for number, name, picture in numbered:
            picture.save(path)
            program.stdin.write(f"{path}\n")
            program.stdin.flush()
            rows.append(json.loads(program.stdout.readline())["measures"])
            numbers.append(number)
            names.append(name)
        program.stdin.close()
        program.wait()
    return np.array(numbers), np.array(names), np.array(rows, np.float32)


class Model(nn.Module):
    """Measures to the four answers; normalisation is folded into the first layer at the end."""

    def __init__(self, measures: Tensor) -> None:
        super().__init__()
        self.mean, self.std = measures.mean(0), measures.std(0) + 1e-4
        self.inner = nn.Linear(measures.shape[1], HIDDEN)
        self.outer = nn.Linear(HIDDEN, len(ANSWERS))

    def forward(self, measures: Tensor, noise: float = 0.0) -> Tensor:
        normal = (measures - self.mean) / self.std
        normal = normal + noise * torch.randn_like(normal)
        return self.outer(F.relu(self.inner(normal)))

    def tensors(self, kind: str) -> dict[str, np.ndarray]:
        with torch.no_grad():
            weights = self.inner.weight / self.std
            bias = self.inner.bias - weights @ self.mean
            inner = torch.cat([weights, bias[:, None]], dim=1)
            outer = torch.cat([self.outer.weight, self.outer.bias[:, None]], dim=1)
        return {f"{kind}.inner": inner.numpy(), f"{kind}.outer": outer.numpy()}


def fit(measures: Tensor, answers: Tensor, steps: int) -> Model:
    torch.manual_seed(3)
    model = Model(measures)
    # Each answer counts as much as the others, whole films twice.
    share = torch.bincount(answers, minlength=len(ANSWERS))
    weight = len(answers) / share.clamp(min=1) * (share > 0) / len(ANSWERS)
    weight = weight * torch.tensor([2.0, 1.0, 1.0, 0.5])
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, steps)
    generator = torch.Generator().manual_seed(3)
    for _ in range(steps):
        drawn = torch.randint(len(answers), (512,), generator=generator)
        logits = model(measures[drawn], noise=0.15)
        loss = F.cross_entropy(logits, answers[drawn], weight=weight, label_smoothing=0.01)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def whole(model: Model, measures: Tensor) -> np.ndarray:
    """The chance that it is neither several films nor a part of one."""
    with torch.no_grad():
        chances = model(measures).softmax(1).numpy()
    return 1 - chances[:, 1] - chances[:, 2]


def choose(films: np.ndarray, names: np.ndarray, x: Tensor, y: Tensor, steps: int) -> float:
    """The threshold, from two models that were trained on one half of the films each."""
    chance = np.zeros(len(names))
    for half in (0, 1):
        held = films % 2 == half
        model = fit(x[torch.from_numpy(~held)], y[torch.from_numpy(~held)], steps)
        chance[held] = whole(model, x[torch.from_numpy(held)])
    bare = np.array([name.split("/")[0] == "same" and name.split("/")[1] in BARE for name in names])
    threshold = round(float(np.clip(np.quantile(chance[bare], REFUSED_RIGHT), 0.02, 0.15)), 3)
    for name in sorted(set(names)):
        refused = float((chance[names == name] < threshold).mean())
        print(f"  {name}: {100 * refused:.1f} % refused of {(names == name).sum()}")
    return threshold


def run(arguments: argparse.Namespace) -> None:
    from .clip import ClipConfig
    from .export import manifest
    from .segmenter import Segmenter

    torch.set_num_threads(arguments.threads)
    split = data.load_split(arguments.split)
    tensors: dict[str, np.ndarray] = {}
    thresholds: dict[str, float] = {}
    for kind, tasks in KINDS.items():
        draw = Random(arguments.seed)
        films = own_films(arguments.images, tasks, split, held=False)
        draw.shuffle(films)
        elsewhere = other_films(arguments.more, set(tasks))
        draw.shuffle(elsewhere)
        films = films[: arguments.films] + elsewhere[: arguments.films // 2]
        films += [arguments.phantoms / f"{kind}.png"] * PHANTOMS
        away = [task for other, of in KINDS.items() if other != kind for task in of]
        foreign = own_films(arguments.images, away, split, held=False)
        foreign += other_films(arguments.more, {"ook"}, NEIGHBOURS)
        cache = arguments.work / f"layouts_{kind}.npz"
        if not (arguments.keep and cache.exists()):
            made_now = measured(arguments.bundle, made(films, foreign, kind, draw))
            np.savez(cache, **dict(zip(("films", "names", "measures"), made_now, strict=True)))
        with np.load(cache) as kept:
            of, names, x = kept["films"], kept["names"], torch.from_numpy(kept["measures"])
        y = torch.tensor([ANSWERS.index(name.split("/")[0]) for name in names])
        print(kind, len(names), "pictures", flush=True)
        thresholds[kind] = choose(of, names, x, y, arguments.steps)
        tensors |= fit(x, y, arguments.steps).tensors(kind)
    save_file(tensors, arguments.bundle / FILE)
    chosen = json.loads(SETTINGS.read_text()) | {"whole_from": thresholds}
    SETTINGS.write_text(json.dumps(chosen, indent=1) + "\n")
    write_manifest(arguments.bundle, manifest(ClipConfig(), Segmenter()))
    print(thresholds)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--films", type=int, default=2500, help="most films a kind")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="measures of before, where kept")
    parser.add_argument(
        "--more",
        type=Path,
        default=Path(__file__).resolve().parents[3] / "shared/data/more",
        help="a second collection, to know other hospitals' films",
    )
