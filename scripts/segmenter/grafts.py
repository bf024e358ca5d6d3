"""A lesion of one picture set into another of the same kind that has none.

People outlined few brain tumours, and one collection's tumours come with that collection's
scanner. Set into other heads and breasts at another place, size and turn, and in the grey
values of where they come to lie, they teach what a lesion looks like apart from the picture that
it came in. Called for training scenes alone; nothing is measured on such pictures.
"""

from __future__ import annotations

import cv2
import numpy as np

from encoder.wear import Planes

Random = np.random.Generator
MARGIN = 0.25
"""Of the lesion's size: what of its surroundings comes along, and how wide its edge fades."""
ZOOMS = (0.6, 1.5)
CONTRASTS = (0.6, 1.6)
WITHIN = 0.95
"""Share of the lesion that must lie in the organ, where that is known."""
TRIES = 8


def ring(inside: np.ndarray, width: int) -> np.ndarray:
    """What lies around a plane, `width` pixels wide."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    return (cv2.dilate(inside, kernel) > 0) & (inside == 0)


def moved(donor: Planes, random: Random) -> Planes | None:
    """The donor's picture and lesion, turned, mirrored and scaled about the lesion, which comes to
    lie anywhere; nothing where too little of it is left."""
    side = donor.picture.shape[0]
    rows, columns = np.nonzero(donor.mask)
    at = np.array([columns.mean(), rows.mean()])
    to = random.uniform(0.2, 0.8, 2) * side
    angle, zoom = random.uniform(0, 2 * np.pi), np.exp(random.uniform(*np.log(ZOOMS)))
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn[:, 0] *= random.choice([-1, 1])
    matrix = np.column_stack([turn, to - turn @ at])
    size = (side, side)
    picture = cv2.warpAffine(donor.picture, matrix, size, borderMode=cv2.BORDER_REFLECT)
    mask = cv2.warpAffine(donor.mask, matrix, size)
    mask = (mask > 127) * np.uint8(255)
    return Planes(picture, mask) if (mask > 0).sum() >= 0.9 * zoom**2 * len(rows) else None


def grafted(onto: np.ndarray, organ: np.ndarray | None, donor: Planes, random: Random) -> Planes:
    """The picture `onto` with the donor's lesion in it, and the lesion's mask. Where no place
    for it is found, the picture as it is and an empty mask."""
    for _ in range(TRIES):
        lesion = moved(donor, random)
        if lesion is None:
            continue
        inside = lesion.mask > 0
        if organ is not None and (organ[inside] > 127).mean() < WITHIN:
            continue
        return Planes(blended(onto, lesion, random), lesion.mask)
    return Planes(onto, np.zeros_like(onto))


def blended(onto: np.ndarray, lesion: Planes, random: Random) -> np.ndarray:
    """The lesion stands out from what is around it about as much as it did where it was."""
    width = max(int(MARGIN * np.sqrt((lesion.mask > 0).sum() / np.pi)), 2)
    around = ring(lesion.mask, width)
    here, there = onto[around].astype(np.float32), lesion.picture[around].astype(np.float32)
    spread = np.clip((here.std() + 4) / (there.std() + 4), 0.6, 1.7)
    contrast = spread * np.exp(random.uniform(*np.log(CONTRASTS)))
    brought = here.mean() + contrast * (lesion.picture.astype(np.float32) - there.mean())
    soft = cv2.GaussianBlur(lesion.mask, (0, 0), random.uniform(0.8, 0.5 * width + 0.8))
    alpha = np.clip(soft.astype(np.float32) / 128, 0, 1)
    return np.clip(onto + alpha * (brought - onto), 0, 255).astype(np.uint8)
