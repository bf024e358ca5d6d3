"""CLIP ViT-B as graphs: the image encoder that ships, and the text encoder that makes
the prototypes and stays behind.

The architecture is that of Radford et al. 2021 (arXiv 2103.00020) with the tensor
names of `transformers`; `shapes` is the table that a checkpoint is checked against.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .checkpoint import Shapes, Weights
from .graph import Graph, Value
from .layers import layer_shapes, linear, norm

EPSILON = 1e-5
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Of the channels that CLIP was trained on."""


@dataclass(frozen=True)
class Tower:
    """Sizes of one transformer."""

    width: int
    depth: int
    heads: int


@dataclass(frozen=True)
class ClipConfig:
    """The published sizes of ViT-B; only the patch size differs between the two."""

    patch: int
    side: int = 224
    embedding: int = 512
    image: Tower = Tower(width=768, depth=12, heads=12)
    text: Tower = Tower(width=512, depth=12, heads=8)
    vocabulary: int = 49408
    context: int = 77

    @property
    def tokens(self) -> int:
        """Patches and the class token."""
        return (self.side // self.patch) ** 2 + 1


CONFIGS = {f"clip-vit-base-patch{patch}": ClipConfig(patch) for patch in (16, 32)}


def shapes(config: ClipConfig) -> Shapes:
    """Every tensor of a checkpoint, by name."""
    image, text = config.image.width, config.text.width
    table = {
        "vision_model.embeddings.class_embedding": (image,),
        "vision_model.embeddings.patch_embedding.weight": (image, 3, config.patch, config.patch),
        "vision_model.embeddings.position_embedding.weight": (config.tokens, image),
        **layer_shapes("vision_model.pre_layrnorm", image),  # the name is misspelt upstream
        **layer_shapes("vision_model.post_layernorm", image),
        "visual_projection.weight": (config.embedding, image),
        "text_model.embeddings.token_embedding.weight": (config.vocabulary, text),
        "text_model.embeddings.position_embedding.weight": (config.context, text),
        **layer_shapes("text_model.final_layer_norm", text),
        "text_projection.weight": (config.embedding, text),
        "logit_scale": (),
    }
    for model, tower in (("vision_model", config.image), ("text_model", config.text)):
        for i in range(tower.depth):
            table |= _block_shapes(f"{model}.encoder.layers.{i}", tower.width)
    return table


def _block_shapes(name: str, width: int) -> Shapes:
    table = layer_shapes(f"{name}.layer_norm1", width) | layer_shapes(f"{name}.layer_norm2", width)
    for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
        table |= layer_shapes(f"{name}.self_attn.{part}", width, width)
    table |= layer_shapes(f"{name}.mlp.fc1", 4 * width, width)
    return table | layer_shapes(f"{name}.mlp.fc2", width, 4 * width)


def image_encoder(weights: Weights, config: ClipConfig) -> Graph:
    """Pixels `[B, 3, side, side]`, normalised, to embeddings `[B, embedding]`, not yet of
    unit length."""
    graph, model = Graph("clip_image_encoder"), "vision_model"
    width, side = config.image.width, config.side
    pixels = graph.input("pixels", (None, 3, side, side))
    kernel = weights[f"{model}.embeddings.patch_embedding.weight"]
    x = graph.convolution(pixels, kernel, None, config.patch, 0, "patch_embedding")
    x = graph.reshape(x, (None, width, config.tokens - 1), "patches")
    x = graph.transpose(x, (0, 2, 1), "patch_tokens")
    # The class token is the same for every image: a row of zeros makes room for it and
    # the position embedding brings it, so that nothing depends on the batch.
    x = graph.pad(x, (0, 1, 0), (0, 0, 0), "class_row")
    position = weights[f"{model}.embeddings.position_embedding.weight"].copy()
    position[0] += weights[f"{model}.embeddings.class_embedding"]
    x = graph.add(x, graph.constant("position", position[None]), "tokens")
    x = norm(graph, x, weights, f"{model}.pre_layrnorm", EPSILON)
    for i in range(config.image.depth):
        last = i == config.image.depth - 1
        x = _block(graph, x, weights, f"{model}.encoder.layers.{i}", config.image, only_first=last)
    x = norm(graph, x, weights, f"{model}.post_layernorm", EPSILON)
    x = graph.reshape(x, (None, width), "class_token")
    x = graph.linear(x, weights["visual_projection.weight"], None, "visual_projection")
    graph.output(x, "embedding")
    return graph


def text_encoder(weights: Weights, config: ClipConfig) -> Graph:
    """Token embeddings `[B, context, width]` with their positions to `[B, context,
    embedding]`; the row of the end mark is the text's embedding."""
    graph, model = Graph("clip_text_encoder"), "text_model"
    x = graph.input("tokens", (None, config.context, config.text.width))
    causal = np.triu(np.full((config.context, config.context), -np.inf, np.float32), 1)
    for i in range(config.text.depth):
        x = _block(graph, x, weights, f"{model}.encoder.layers.{i}", config.text, mask=causal)
    x = norm(graph, x, weights, f"{model}.final_layer_norm", EPSILON)
    x = graph.linear(x, weights["text_projection.weight"], None, "text_projection")
    graph.output(x, "embeddings")
    return graph


def _block(
    graph: Graph,
    x: Value,
    weights: Weights,
    name: str,
    tower: Tower,
    mask: np.ndarray | None = None,
    only_first: bool = False,
) -> Value:
    """A pre-norm transformer block over `x [B, N, width]`.

    With `only_first` it gives `[B, 1, width]`: nobody reads the other tokens after the
    last block, so only the first one asks and goes through the MLP. Its keys and values
    still come from all tokens, so the result is the same."""

    def packed(parts: str, kind: str) -> np.ndarray:
        return np.concatenate([weights[f"{name}.self_attn.{p}_proj.{kind}"] for p in parts])

    def own(x: Value, part: str) -> Value:
        return linear(graph, x, weights, f"{name}.{part}")

    attend = f"{name}.self_attn"
    normed = norm(graph, x, weights, f"{name}.layer_norm1", EPSILON)
    if only_first:
        x = graph.slice(x, {1: (0, 1)}, f"{name}.first")
        first = graph.slice(normed, {1: (0, 1)}, f"{name}.first_normed")
        q = own(first, "self_attn.q_proj")
        kv = graph.linear(normed, packed("kv", "weight"), packed("kv", "bias"), f"{attend}.kv_proj")
        k, v = graph.split(kv, 2, f"{attend}.kv")
    else:
        layer = f"{attend}.qkv_proj"
        qkv = graph.linear(normed, packed("qkv", "weight"), packed("qkv", "bias"), layer)
        q, k, v = graph.split(qkv, 3, f"{attend}.qkv")
    mixed = graph.attention(q, k, v, tower.heads, attend, mask)
    x = graph.add(x, own(mixed, "self_attn.out_proj"), f"{name}.attended")
    hidden = own(norm(graph, x, weights, f"{name}.layer_norm2", EPSILON), "mlp.fc1")
    hidden = graph.quick_gelu(hidden, f"{name}.mlp.gelu")
    return graph.add(x, own(hidden, "mlp.fc2"), name)
