"""A worn picture and the objects in it, as the prompts of a training step ask for them.

Pictures are worn as the encoder's views are (`encoder.wear`); the outlines move along. Some
pictures get two or three alike blobs drawn on them: only the prompt tells which is meant, so
they teach to follow it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from data.listing import Entry
from encoder.pixels import SIDE
from encoder.wear import HARSH, MILD, Planes, Wear, worn

from .grafts import grafted
from .outlines import BOX, HUMAN, MODEL, Outlines

MILD_SHARE = 0.6
FEWEST = 40
"""Pixels of an object that is asked for."""
TRIES = 3
Random = np.random.Generator


@dataclass(frozen=True)
class Target:
    """One object: where it surely is, where it may be."""

    inside: np.ndarray
    possible: np.ndarray

    @property
    def outlined(self) -> bool:
        """Whether the two are one: not so where only a box is known."""
        return self.inside is self.possible


@dataclass(frozen=True)
class Scene:
    """A picture and what is known of it. With `empty` it has no finding."""

    picture: np.ndarray
    finding: Target | None
    organ: Target | None
    drawn: tuple[Target, ...] = ()
    empty: bool = False
    asks_organ: bool = False
    """Whether the organ is asked for by itself: only where people outlined it."""


def target(plane: np.ndarray, boxes: bool, fewest: int = FEWEST) -> Target | None:
    """The object of a plane that was moved; nothing where too little of it is left."""
    inside = plane > (191 if boxes else 127)
    if inside.sum() < fewest:
        return None
    return Target(inside, plane > 63) if boxes else Target(inside, inside)


def blob(random: Random, side: int) -> np.ndarray:
    """A smooth closed shape anywhere, as a plane of 0 and 255."""
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    radius = np.ones(64)
    for k in range(1, 5):
        radius += random.normal(0, 0.35 / k) * np.cos(k * angles + random.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.25, None) * np.exp(random.uniform(np.log(7), np.log(36)))
    stretch, turn = random.uniform(0.55, 1), random.uniform(0, np.pi)
    x, y = radius * np.cos(angles), radius * np.sin(angles) * stretch
    at = random.uniform(0.15, 0.85, 2) * side
    points = np.stack(
        [x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1
    )
    plane = np.zeros((side, side), np.uint8)
    cv2.fillPoly(plane, [(points + at).astype(np.int32)], 255)
    return plane


def with_blobs(picture: np.ndarray, random: Random) -> Planes:
    """The picture with two or three blobs of about one look; a channel each."""
    side = picture.shape[0]
    masks = np.zeros((side, side, 3), np.uint8)
    seen = picture.astype(np.float32)
    change = random.choice([-1, 1]) * random.uniform(18, 70)
    grain, edge = random.uniform(0, 14), random.uniform(0.6, 2.5)
    keeps = random.uniform(0.3, 1)
    for channel in range(random.integers(2, 4)):
        plane = blob(random, side)
        plane[masks.max(axis=2) > 0] = 0
        masks[..., channel] = plane
        if not plane.any():
            continue
        mean = float(picture[plane > 0].mean())
        texture = random.standard_normal(picture.shape, np.float32) * grain
        inner = mean + keeps * (seen - mean) + change + cv2.GaussianBlur(texture, (0, 0), 1.0) * 2
        alpha = cv2.GaussianBlur(plane, (0, 0), edge).astype(np.float32) / 255
        seen = seen + alpha * (inner - seen)
    return Planes(np.clip(seen, 0, 255).astype(np.uint8), masks)


class Stage:
    """Makes scenes of the list's images."""

    def __init__(self, entries: list[Entry], grey: np.ndarray, outlines: Outlines) -> None:
        self.entries, self.grey, self.outlines = entries, grey, outlines
        self.donors: dict[str, list[int]] = {}
        for i, entry in enumerate(entries):
            if not entry.held and outlines.makers[i] in (HUMAN, MODEL):
                self.donors.setdefault(entry.kind, []).append(i)

    def planes(self, i: int) -> Planes:
        """The image, and its finding and organ as channels."""
        masks = np.zeros((SIDE, SIDE, 3), np.uint8)
        for channel, places in enumerate((self.outlines.findings, self.outlines.organs)):
            if places[i] >= 0:
                masks[..., channel] = self.outlines.planes[places[i]]
        return Planes(np.array(self.grey[i]), masks)

    def still(self, i: int) -> Scene:
        """The image as it is."""
        return self.seen(self.planes(i), i, fewest=1)

    def seen(self, planes: Planes, i: int, fewest: int = FEWEST) -> Scene:
        masks = planes.mask
        finding = target(masks[..., 0], self.outlines.makers[i] == BOX, fewest)
        organ = target(masks[..., 1], False, fewest)
        return Scene(
            planes.picture,
            finding,
            organ,
            empty=bool(self.outlines.empty[i]),
            asks_organ=self.entries[i].kind == "chest",
        )

    def scene(self, i: int, random: Random) -> Scene:
        """The image worn; not worn where that would leave nothing to ask for."""
        for _ in range(TRIES):
            scene = self.seen(worn(self.planes(i), random, wear(random), SIDE), i)
            if scene.finding is not None:
                return scene
            if self.outlines.findings[i] < 0 and (scene.organ is not None or scene.empty):
                return scene
        return self.still(i)

    def grafted(self, i: int, random: Random) -> Scene:
        """An image without a finding, with the lesion of another of its kind, worn."""
        own = self.planes(i)
        organ = own.mask[..., 1] if self.outlines.organs[i] >= 0 else None
        donor = self.planes(int(random.choice(self.donors[self.entries[i].kind])))
        lesion = Planes(donor.picture, np.ascontiguousarray(donor.mask[..., 0]))
        made = grafted(own.picture, organ, lesion, random)
        own.mask[..., 0] = made.mask
        planes = Planes(made.picture, own.mask)
        for moved in (worn(planes, random, wear(random), SIDE), planes):
            plane = np.ascontiguousarray(moved.mask[..., 0])
            finding = target(plane, False)
            if finding is not None:
                organ = target(np.ascontiguousarray(moved.mask[..., 1]), False)
                return Scene(moved.picture, finding, organ)
        return self.scene(i, random)

    def drawn(self, i: int, random: Random) -> Scene:
        """The image worn, with blobs on it; not worn where that would leave none."""
        planes = with_blobs(np.array(self.grey[i]), random)
        for moved in (worn(planes, random, wear(random), SIDE), planes):
            channels = (np.ascontiguousarray(moved.mask[..., c]) for c in range(3))
            found = [target(plane, False) for plane in channels]
            objects = tuple(o for o in found if o is not None)
            if objects:
                break
        return Scene(moved.picture, None, None, objects)


def wear(random: Random) -> Wear:
    return MILD if random.random() < MILD_SHARE else HARSH
