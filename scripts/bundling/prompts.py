"""The text prompts of every class, and CLIP's byte-pair tokenizer that reads them."""

from __future__ import annotations

import gzip
import html
import itertools
from functools import lru_cache
from pathlib import Path

import ftfy
import regex

VIEW = {
    "covid3": "chest x-ray",
    "lung_tb2": "chest x-ray",
    "cxr_extra": "chest x-ray",
    "brain4": "brain mri",
    "breast3": "breast ultrasound",
}

PHRASES: dict[str, dict[str, list[str]]] = {
    "covid3": {
        "covid": ["covid-19 pneumonia", "bilateral ground glass opacities of covid-19"],
        "normal": ["clear lungs", "no covid-19 and no pneumonia"],
        "viral_pneumonia": [
            "viral pneumonia",
            "interstitial pneumonia of a virus other than covid",
        ],
    },
    "lung_tb2": {
        "normal": ["normal lung fields without tuberculosis", "no sign of tuberculosis"],
        "tuberculosis": ["pulmonary tuberculosis", "cavities and upper lobe infiltrates"],
    },
    "brain4": {
        "glioma": ["a glioma", "an infiltrating glial tumour"],
        "meningioma": ["a meningioma", "a tumour that grows from the meninges"],
        "notumor": ["no tumour", "a healthy brain"],
        "pituitary": ["a pituitary tumour", "an adenoma of the pituitary gland"],
    },
    "breast3": {
        "benign": ["a benign lesion", "a smooth oval benign mass"],
        "malignant": ["a malignant tumour", "an irregular spiculated malignant mass"],
        "normal": ["normal tissue without a lesion", "no mass"],
    },
    "cxr_extra": {
        "covid19": ["covid-19 infection", "opacities of covid-19 infection"],
        "no_findings": ["no findings", "an unremarkable chest"],
        "pneumonia": ["pneumonia", "bacterial pneumonia with consolidation"],
    },
}

TEMPLATES = ["a {view} of {phrase}", "{view} showing {phrase}", "this {view} shows {phrase}"]
CONTEXT = 32
"""Tokens of one text prompt, padded; CLIP itself uses 77."""


def text_prompts(task: str, label: str) -> list[str]:
    """All text prompts of one class."""
    return [
        template.format(view=VIEW[task], phrase=phrase)
        for phrase in PHRASES[task][label]
        for template in TEMPLATES
    ]


@lru_cache
def byte_alphabet() -> dict[int, str]:
    """CLIP's printable stand-in for each of the 256 bytes."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in kept]
    names = [chr(b) for b in kept] + [chr(256 + i) for i in range(len(rest))]
    return dict(zip(kept + rest, names, strict=True))


class Tokenizer:
    """CLIP's byte-pair encoding (Radford et al. 2021, section 2.4)."""

    PATTERN = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")

    def __init__(self, vocabulary: Path) -> None:
        with gzip.open(vocabulary, "rt", encoding="utf-8") as handle:
            lines = handle.read().split("\n")
        merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
        alphabet = list(byte_alphabet().values())
        words = alphabet + [a + "</w>" for a in alphabet] + ["".join(m) for m in merges]
        words += ["<|startoftext|>", "<|endoftext|>"]
        self.ids = {word: i for i, word in enumerate(words)}
        self.ranks = {merge: i for i, merge in enumerate(merges)}
        self.start, self.end = len(words) - 2, len(words) - 1

    def merge(self, word: str) -> list[str]:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            pairs = list(itertools.pairwise(parts))
            best = min(pairs, key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            place = pairs.index(best)
            parts[place : place + 2] = ["".join(best)]
        return parts

    def encode(self, text: str, context: int = CONTEXT) -> list[int]:
        """Token numbers with start and end marks, padded with zeros to `context`."""
        clean = html.unescape(ftfy.fix_text(text)).strip().lower()
        tokens = [self.start]
        for word in self.PATTERN.findall(clean):
            spelled = "".join(byte_alphabet()[b] for b in word.encode())
            tokens += [self.ids[part] for part in self.merge(spelled)]
        tokens = [*tokens[: context - 1], self.end]
        return tokens + [0] * (context - len(tokens))
