"""Wears pictures down, so that nothing is left by which a collection gives itself away.

One grey picture and the mask of its lesion in, both out at the side that is asked for. Place
and shape, window and gamma, noise, resolution, compression, borders, text, markers, and what a
phone adds when it photographs a screen are drawn at random; what is to be seen stays to be
seen. Nothing is turned over or put on its side: the gate refuses such images.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

Random = np.random.Generator
INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC)


@dataclass(frozen=True)
class Wear:
    """How far a picture is changed; `chance` of each change, `strength` of all."""

    chance: float
    strength: float


MILD, HARSH = Wear(0.15, 0.5), Wear(0.4, 1.0)


@dataclass(frozen=True)
class Planes:
    """A picture and the mask of its lesion, square, uint8; what moves one moves both."""

    picture: np.ndarray
    mask: np.ndarray


def framed(planes: Planes, random: Random) -> Planes:
    """A letterbox, a border of any grey, or bars at two sides."""
    side = planes.picture.shape[0]
    grey = int(random.choice([0, 0, 0, 255, random.integers(256)]))
    wide = (random.random(4) * 0.18 * side * (random.random(4) < 0.6)).astype(int)
    if random.random() < 0.5:
        wide[[2, 3] if random.random() < 0.5 else [0, 1]] = 0

    def around(plane: np.ndarray, value: int) -> np.ndarray:
        wider = cv2.copyMakeBorder(plane, *wide.tolist(), cv2.BORDER_CONSTANT, value=value)
        return cv2.resize(wider, (side, side), interpolation=cv2.INTER_AREA)

    return Planes(around(planes.picture, grey), around(planes.mask, 0))


def text(picture: np.ndarray, random: Random) -> np.ndarray:
    """A few words or a side marker, mostly near the border, as burned in."""
    out, side = picture.copy(), picture.shape[0]
    for _ in range(random.integers(1, 4)):
        marker = random.random() < 0.4
        count = 1 if marker else int(random.integers(3, 14))
        word = "".join(random.choice(list(string.ascii_uppercase + string.digits + " -:"), count))
        word = str(random.choice(["L", "R"])) if marker else word
        place = random.random(2) * side * np.array([0.8, 0.95])
        if random.random() < 0.8:
            axis = random.integers(2)
            edge = (
                random.uniform(0.02, 0.1) if random.random() < 0.5 else random.uniform(0.85, 0.95)
            )
            place[axis] = side * edge
        size = random.uniform(0.3, 0.8) * (1.4 if marker else 1)
        grey = int(random.choice([255, 255, 230, 200, 0]))
        where = (int(place[0]), int(place[1]) + 6)
        cv2.putText(out, word, where, cv2.FONT_HERSHEY_SIMPLEX, size, grey, 1, cv2.LINE_AA)
    return out


def hidden(picture: np.ndarray, random: Random) -> np.ndarray:
    """A rectangle of one grey: a corner label, a cable, something over the picture."""
    out, side = picture.copy(), picture.shape[0]
    size = (random.uniform(0.05, 0.3, 2) * side).astype(int)
    top, left = (random.random(2) * (side - size)).astype(int)
    out[top : top + size[0], left : left + size[1]] = random.integers(256)
    return out


def place(planes: Planes, random: Random, wear: Wear, side: int) -> Planes:
    """Turned a little, moved, scaled, stretched, and sometimes seen askew, at `side`."""
    w, have = wear.strength, planes.picture.shape[0]
    angle = np.deg2rad(random.uniform(-14, 14) * w)
    zoom = np.exp(random.uniform(-0.28, 0.16) * w)
    stretch = np.exp(random.uniform(-0.14, 0.14) * w)
    shift = random.uniform(-0.1, 0.1, 2) * w
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.5
    corners = corners * [zoom * stretch, zoom / stretch]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = corners @ turn.T + shift + 0.5
    if random.random() < wear.chance:
        corners = corners + random.uniform(-0.05, 0.05, (4, 2)) * w
    if random.random() < 0.5:
        corners = corners[[1, 0, 3, 2]]
    to = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    matrix = cv2.getPerspectiveTransform((corners * have).astype(np.float32), to)
    border = int(random.choice([0, 0, 0, random.integers(256)]))
    size = (side, side)
    return Planes(
        cv2.warpPerspective(
            planes.picture, matrix, size, flags=cv2.INTER_LINEAR, borderValue=border
        ),
        cv2.warpPerspective(planes.mask, matrix, size, flags=cv2.INTER_LINEAR),
    )


def window(picture: np.ndarray, random: Random, w: float) -> np.ndarray:
    """Another window of the grey values: what lies outside is lost."""
    low, high = np.percentile(picture, [random.uniform(0, 8) * w, 100 - random.uniform(0, 6) * w])
    scaled = (picture.astype(np.float32) - low) / max(float(high - low), 8.0)
    return np.clip(scaled * 255, 0, 255)


def narrow(picture: np.ndarray, random: Random, w: float) -> np.ndarray:
    """12 bits taken as 8 without a window: few grey values, far down or up."""
    share = random.uniform(1 - 0.75 * w, 0.8)
    start = random.random() * (1 - share) * 255
    return np.round(picture.astype(np.float32) * share + start)


def gamma(picture: np.ndarray, random: Random, w: float) -> np.ndarray:
    return 255 * (np.clip(picture, 0, 255) / 255) ** np.exp(random.uniform(-0.55, 0.55) * w)


def contrast(picture: np.ndarray, random: Random, w: float) -> np.ndarray:
    mean = float(picture.mean())
    factor, offset = np.exp(random.uniform(-0.35, 0.35) * w), random.uniform(-24, 24) * w
    return (picture - mean) * factor + mean + offset


def equalised(picture: np.ndarray, random: Random, w: float) -> np.ndarray:
    """Local or global equalisation, as some units ship their films."""
    whole = np.clip(picture, 0, 255).astype(np.uint8)
    if random.random() < 0.3:
        return cv2.equalizeHist(whole)
    return cv2.createCLAHE(random.uniform(1, 1 + 3 * w), (4, 4)).apply(whole)


def shaded(picture: np.ndarray, random: Random, w: float) -> np.ndarray:
    """A smooth field over the picture: a coil's sensitivity, a lamp, a heel effect."""
    coarse = random.uniform(1 - 0.45 * w, 1.2, (3, 3)).astype(np.float32)
    return picture * cv2.resize(coarse, picture.shape[::-1])


def blurred(picture: np.ndarray, random: Random, w: float) -> np.ndarray:
    return cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.3 + random.random() * 1.6 * w)


def sharpened(picture: np.ndarray, random: Random, w: float) -> np.ndarray:
    values = picture.astype(np.float32)
    return values + random.uniform(0.3, 1.5) * w * (values - cv2.GaussianBlur(values, (0, 0), 1.2))


def noisy(picture: np.ndarray, random: Random, w: float) -> np.ndarray:
    grain = random.standard_normal(picture.shape, np.float32)
    if random.random() < 0.4:
        grain = cv2.GaussianBlur(grain, (0, 0), 0.8) * 2
    speckle = 1.0 if random.random() < 0.6 else picture / 128
    return picture + grain * speckle * random.uniform(1, 18) * w


def resampled(picture: np.ndarray, random: Random, w: float) -> np.ndarray:
    """Smaller and back, by whatever interpolation somebody chose."""
    side = max(int(picture.shape[0] * random.uniform(1 - 0.65 * w, 1)), 32)
    values, how = picture.astype(np.float32), INTERPOLATIONS
    small = cv2.resize(values, (side, side), interpolation=int(random.choice(how)))
    return cv2.resize(small, picture.shape[::-1], interpolation=int(random.choice(how[1:])))


def compressed(picture: np.ndarray, random: Random, w: float) -> np.ndarray:
    whole = np.clip(picture, 0, 255).astype(np.uint8)
    quality = int(random.integers(int(95 - 75 * w), 96))
    _, coded = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)


def photographed(picture: np.ndarray, random: Random, w: float) -> np.ndarray:
    """Glare and moire of a screen that somebody photographed."""
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    out = picture.astype(np.float32)
    if random.random() < 0.7:
        centre, size = random.random(2) * picture.shape[0], random.uniform(0.1, 0.4) * len(out)
        distance = (y - centre[0]) ** 2 + (x - centre[1]) ** 2
        out = out + random.uniform(30, 150) * w * np.exp(-distance / (2 * size**2))
    if random.random() < 0.7:
        wave = random.uniform(0.3, 1.6, 2) * random.choice([-1, 1], 2)
        out = out + random.uniform(2, 14) * w * np.sin(wave[0] * x + wave[1] * y)
    return out


Step = Callable[[np.ndarray, Random, float], np.ndarray]
GREYS: tuple[tuple[Step, float], ...] = (
    (window, 1.0),
    (gamma, 1.6),
    (contrast, 1.2),
    (equalised, 0.5),
    (shaded, 0.6),
    (narrow, 0.4),
    (photographed, 0.4),
)
GRAIN: tuple[tuple[Step, float], ...] = (
    (blurred, 0.8),
    (sharpened, 0.6),
    (resampled, 1.0),
    (noisy, 1.0),
    (compressed, 1.2),
)
"""Changes and how much likelier than `chance` each is."""


def worn(planes: Planes, random: Random, wear: Wear, side: int) -> Planes:
    """One worn picture and its mask, at `side`."""
    picture = planes.picture
    for change, factor in ((hidden, 0.4), (text, 0.8)):
        if random.random() < factor * wear.chance:
            picture = change(picture, random)
    planes = Planes(picture, planes.mask)
    if random.random() < 0.5 * wear.chance:
        planes = framed(planes, random)
    planes = place(planes, random, wear, side)
    seen: np.ndarray = planes.picture
    for steps in (GREYS, GRAIN):
        for i in random.permutation(len(steps)):
            step, factor = steps[i]
            if random.random() < factor * wear.chance:
                seen = step(seen, random, wear.strength)
    return Planes(np.clip(seen, 0, 255).astype(np.uint8), planes.mask)
