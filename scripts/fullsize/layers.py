"""Layers as checkpoints name them, with `NAME.weight` and `NAME.bias`: the shapes that
these are checked against, and their nodes in a graph."""

from __future__ import annotations

from .checkpoint import Shapes, Weights
from .graph import Graph, Value


def layer_shapes(name: str, *shape: int, outputs: int | None = None) -> Shapes:
    """Of any layer whose weight has this shape; its bias has one value for each of the
    weight's rows where `outputs` says no other number."""
    return {f"{name}.weight": shape, f"{name}.bias": (outputs or shape[0],)}


def linear(graph: Graph, x: Value, weights: Weights, name: str) -> Value:
    return graph.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"], name)


def norm(graph: Graph, x: Value, weights: Weights, name: str, epsilon: float) -> Value:
    return graph.layer_norm(x, weights[f"{name}.weight"], weights[f"{name}.bias"], epsilon, name)
