"""A linear head an exam on embeddings that nothing trains further, and a guard beside it:
the plainest things that show what an encoder is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from data.listing import Entry
from data.meanings import EXAMS

from .objectives import set_loss
from .sampling import weights

STEPS = 400
SHRINK = 0.1


@dataclass(frozen=True)
class Standard:
    """Mean and spread of the training embeddings."""

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, embeddings: np.ndarray) -> Standard:
        return cls(embeddings.mean(0), embeddings.std(0) + 1e-4)

    def __call__(self, embeddings: np.ndarray) -> np.ndarray:
        return (embeddings - self.mean) / self.spread


@dataclass(frozen=True)
class Probe:
    """One exam's linear head; gives logits."""

    standard: Standard
    weight: np.ndarray
    bias: np.ndarray
    temperature: float = 1.0

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        return (self.standard(embeddings) @ self.weight.T + self.bias) / self.temperature

    def probabilities(self, embeddings: np.ndarray) -> np.ndarray:
        logits = self.logits(embeddings)
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


def fit(exam: str, entries: list[Entry], embeddings: np.ndarray, trained: list[int]) -> Probe:
    """Logistic regression; each class, and each source in it, weighs as the sampling says."""
    torch.manual_seed(0)
    classes = EXAMS[exam]
    mine = [i for i in trained if exam in entries[i].answers]
    only = [
        Entry(e.sha256, e.source, e.kind, e.group, e.split, {exam: e.answers[exam]})
        if exam in e.answers
        else e
        for e in entries
    ]
    weight = torch.from_numpy(weights(only, mine)[mine]).float()
    weight = weight / weight.sum()
    possible = torch.tensor([[c in entries[i].answers[exam] for c in classes] for i in mine])
    standard = Standard.of(embeddings[trained])
    x = torch.from_numpy(standard(embeddings[mine])).float()
    layer = nn.Linear(x.shape[1], len(classes))
    nn.init.zeros_(layer.weight)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = (set_loss(layer(x), possible) * weight).sum()
        loss = loss + SHRINK * 0.01 * layer.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return Probe(standard, layer.weight.detach().numpy(), layer.bias.detach().numpy())


def warmed(probe: Probe, embeddings: np.ndarray, labels: np.ndarray) -> Probe:
    """The probe at the temperature that suits these images best."""
    logits, truth = torch.from_numpy(probe.logits(embeddings)).float(), torch.from_numpy(labels)
    tried = np.exp(np.linspace(-1.5, 1.5, 61))
    losses = [F.cross_entropy(logits / t, truth).item() for t in tried]
    best = float(tried[int(np.argmin(losses))])
    return Probe(probe.standard, probe.weight, probe.bias, best)


@dataclass(frozen=True)
class Guard:
    """How far an embedding lies from the classes of an exam's training images
    (Mahalanobis, one shrunk covariance for all classes), less how far from all images."""

    standard: Standard
    means: np.ndarray
    inverse: np.ndarray
    mean: np.ndarray
    inverse_of_all: np.ndarray

    @classmethod
    def of(cls, embeddings: np.ndarray, labels: np.ndarray, everything: np.ndarray) -> Guard:
        standard = Standard.of(everything)
        x, all_of_it = standard(embeddings), standard(everything)
        means = np.stack([x[labels == c].mean(0) for c in np.unique(labels)])
        centred = x - means[np.searchsorted(np.unique(labels), labels)]
        mean = all_of_it.mean(0)
        return cls(standard, means, inverse(centred), mean, inverse(all_of_it - mean))

    def distance(self, embeddings: np.ndarray) -> np.ndarray:
        """The relative distance (Ren et al. 2021)."""
        x = self.standard(embeddings)
        near = [squared(x - mean, self.inverse) for mean in self.means]
        return np.min(near, axis=0) - squared(x - self.mean, self.inverse_of_all)


def inverse(centred: np.ndarray) -> np.ndarray:
    """Of the covariance, shrunk towards its diagonal."""
    covariance = centred.T @ centred / len(centred)
    diagonal = np.diag(np.diag(covariance))
    shrunk = (1 - SHRINK) * covariance + SHRINK * diagonal
    return np.linalg.inv(shrunk + 1e-3 * np.eye(len(shrunk)))


def squared(x: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    return np.einsum("ni,ij,nj->n", x, inverse, x)
