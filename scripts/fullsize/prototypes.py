"""The text prompts of every class through CLIP's own tokenizer and text encoder, and the
fusion heads that start from them: what CLIP answers zero-shot, nothing trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from bundling.exams import EXAMS
from bundling.head import unit
from bundling.prompts import Tokenizer, text_prompts
from bundling.reference import session

from . import clip
from .checkpoint import Weights


class TextEncoder:
    """Texts to unit embeddings."""

    def __init__(self, weights: Weights, config: clip.ClipConfig, vocabulary: Path) -> None:
        self.config, self.tokenizer = config, Tokenizer(vocabulary)
        name = "text_model.embeddings"
        self.tokens = weights[f"{name}.token_embedding.weight"]
        self.position = weights[f"{name}.position_embedding.weight"]
        model = clip.text_encoder(weights, config).model()
        self.session = session(model.SerializeToString())

    def embed(self, texts: list[str]) -> np.ndarray:
        """`[texts, embedding]`; a text is read at its end mark."""
        ids = np.array([self.tokenizer.encode(text, self.config.context) for text in texts])
        tokens = self.tokens[ids] + self.position
        rows = self.session.run(None, {"tokens": tokens})[0]
        ends = (ids == self.tokenizer.end).argmax(axis=1)
        return unit(rows[np.arange(len(texts)), ends])

    def prototypes(self, task: str) -> np.ndarray:
        """`[classes, embedding]`: the mean of each class's text prompts, of unit length."""
        classes = [self.embed(text_prompts(task, label)).mean(axis=0) for label in EXAMS[task]]
        return unit(np.stack(classes)).astype(np.float32)


def write_heads(encoder: TextEncoder, scale: float, folder: Path) -> None:
    """A head an exam: the prototypes, CLIP's own temperature and nothing else, so the
    answer is CLIP's zero-shot answer on the mean of both embeddings."""
    folder.mkdir(exist_ok=True)
    size = encoder.config.embedding
    for task, labels in EXAMS.items():
        tensors = {
            "prototypes": encoder.prototypes(task),
            "fusion.weight": np.zeros((size, 2 * size), np.float32),
            "fusion.bias": np.zeros(size, np.float32),
            "classifier.weight": np.zeros((len(labels), size), np.float32),
            "classifier.bias": np.zeros(len(labels), np.float32),
            "logit_scale": np.array([scale], np.float32),
            "temperature": np.ones(1, np.float32),
        }
        save_file(tensors, folder / f"{task}.safetensors")
