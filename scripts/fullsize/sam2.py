"""SAM2-tiny as graphs: image encoder, prompt encoder with mask decoder, and the encoder
of a mask given as a prompt.

The architecture is that of Ravi et al. 2024 (arXiv 2408.00714) over Hiera (Ryali et al.
2023, arXiv 2306.00989) with the tensor names of `transformers`; the video model's
memory is left out, as SAM2 itself does for single images. `shapes` is the table that a
checkpoint is checked against.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .checkpoint import Shapes, Weights
from .graph import Graph, Value
from .layers import layer_shapes, linear, norm

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet's channels, as SAM2 was trained."""
SIDES = (256, 512, 1024)
"""Input sizes that are exported; SAM2 itself was trained at 1024."""

TRUNK_EPSILON = 1e-6
DECODER_EPSILON = 1e-5
WIDTH = 256
"""Channels of the embedding, the prompts and the decoder."""
HEADS = 8
MASK_TOKENS = 4
"""Token 0 is the single mask, 1 to 3 the multimask alternatives."""

BACKBONE = "vision_encoder.backbone"
DECODER = "mask_decoder"
PROMPT = "prompt_encoder"


@dataclass(frozen=True)
class Block:
    """One Hiera block."""

    width_in: int
    width: int
    heads: int
    window: int
    """Tokens a side; 0 for attention over all."""
    pools: bool
    """Halves its side: a stage begins."""


@dataclass(frozen=True)
class TrunkConfig:
    """The published sizes of Hiera-T."""

    width: int = 96
    stages: tuple[int, ...] = (1, 2, 7, 2)
    windows: tuple[int, ...] = (8, 4, 14, 7)
    global_blocks: tuple[int, ...] = (5, 7, 9)
    background: int = 7
    """Side of the position embedding before it is interpolated."""

    def widths(self) -> list[int]:
        """By stage, doubled at each."""
        return [self.width * 2**stage for stage in range(len(self.stages))]

    def blocks(self) -> Iterator[tuple[Block, bool]]:
        """Every block and whether it ends its stage."""
        number, widths = 0, self.widths()
        for stage, depth in enumerate(self.stages):
            for place in range(depth):
                begins = stage > 0 and place == 0
                # The block that pools still works on the windows of the stage before it.
                window = self.windows[stage - 1] if begins else self.windows[stage]
                window = 0 if number in self.global_blocks else window
                width_in = widths[stage - 1] if begins else widths[stage]
                yield Block(width_in, widths[stage], 2**stage, window, begins), place == depth - 1
                number += 1


TRUNK = TrunkConfig()


def shapes() -> Shapes:
    """Every tensor that the graphs need, by name."""
    return _trunk_shapes() | _prompt_shapes() | _decoder_shapes()


def _mlp_shapes(name: str, sizes: list[int]) -> Shapes:
    table = {}
    for i, layer in enumerate(_mlp_layers(len(sizes) - 1)):
        table |= layer_shapes(f"{name}.{layer}", sizes[i + 1], sizes[i])
    return table


def _mlp_layers(count: int) -> list[str]:
    """Names of an MLP's layers in their order."""
    return ["proj_in", *(f"layers.{i}" for i in range(count - 2)), "proj_out"]


def _trunk_shapes() -> Shapes:
    width, window = TRUNK.width, TRUNK.windows[0]
    table = {
        f"{BACKBONE}.pos_embed": (1, width, TRUNK.background, TRUNK.background),
        f"{BACKBONE}.pos_embed_window": (1, width, window, window),
        **layer_shapes(f"{BACKBONE}.patch_embed.projection", width, 3, 7, 7),
        "no_memory_embedding": (1, 1, WIDTH),
    }
    for i, (block, _) in enumerate(TRUNK.blocks()):
        name = f"{BACKBONE}.blocks.{i}"
        table |= layer_shapes(f"{name}.layer_norm1", block.width_in)
        table |= layer_shapes(f"{name}.attn.qkv", 3 * block.width, block.width_in)
        table |= layer_shapes(f"{name}.attn.proj", block.width, block.width)
        table |= layer_shapes(f"{name}.layer_norm2", block.width)
        table |= _mlp_shapes(f"{name}.mlp", [block.width, 4 * block.width, block.width])
        if block.width_in != block.width:
            table |= layer_shapes(f"{name}.proj", block.width, block.width_in)
    for i, width in enumerate(reversed(TRUNK.widths())):
        table |= layer_shapes(f"vision_encoder.neck.convs.{i}", WIDTH, width, 1, 1)
    return table


def _prompt_shapes() -> Shapes:
    return {
        "shared_image_embedding.positional_embedding": (2, WIDTH // 2),
        f"{PROMPT}.point_embed.weight": (4, WIDTH),
        f"{PROMPT}.not_a_point_embed.weight": (1, WIDTH),
        f"{PROMPT}.no_mask_embed.weight": (1, WIDTH),
        **layer_shapes(f"{PROMPT}.mask_embed.conv1", 4, 1, 2, 2),
        **layer_shapes(f"{PROMPT}.mask_embed.layer_norm1", 4),
        **layer_shapes(f"{PROMPT}.mask_embed.conv2", 16, 4, 2, 2),
        **layer_shapes(f"{PROMPT}.mask_embed.layer_norm2", 16),
        **layer_shapes(f"{PROMPT}.mask_embed.conv3", WIDTH, 16, 1, 1),
    }


def _attention_shapes(name: str, inner: int) -> Shapes:
    table = layer_shapes(f"{name}.o_proj", WIDTH, inner)
    for part in "qkv":
        table |= layer_shapes(f"{name}.{part}_proj", inner, WIDTH)
    return table


def _decoder_shapes() -> Shapes:
    transformer = f"{DECODER}.transformer"
    table = {
        f"{DECODER}.obj_score_token.weight": (1, WIDTH),
        f"{DECODER}.iou_token.weight": (1, WIDTH),
        f"{DECODER}.mask_tokens.weight": (MASK_TOKENS, WIDTH),
        **_attention_shapes(f"{transformer}.final_attn_token_to_image", WIDTH // 2),
        **layer_shapes(f"{transformer}.layer_norm_final_attn", WIDTH),
        **layer_shapes(f"{DECODER}.conv_s0", WIDTH // 8, WIDTH, 1, 1),
        **layer_shapes(f"{DECODER}.conv_s1", WIDTH // 4, WIDTH, 1, 1),
        **layer_shapes(f"{DECODER}.upscale_conv1", WIDTH, WIDTH // 4, 2, 2, outputs=WIDTH // 4),
        **layer_shapes(f"{DECODER}.upscale_layer_norm", WIDTH // 4),
        **layer_shapes(
            f"{DECODER}.upscale_conv2", WIDTH // 4, WIDTH // 8, 2, 2, outputs=WIDTH // 8
        ),
        **_mlp_shapes(f"{DECODER}.iou_prediction_head", [WIDTH, WIDTH, WIDTH, MASK_TOKENS]),
        **_mlp_shapes(f"{DECODER}.pred_obj_score_head", [WIDTH, WIDTH, WIDTH, 1]),
    }
    for i in range(2):
        name = f"{transformer}.layers.{i}"
        table |= _attention_shapes(f"{name}.self_attn", WIDTH)
        table |= _attention_shapes(f"{name}.cross_attn_token_to_image", WIDTH // 2)
        table |= _attention_shapes(f"{name}.cross_attn_image_to_token", WIDTH // 2)
        table |= _mlp_shapes(f"{name}.mlp", [WIDTH, 2048, WIDTH])
        for number in range(1, 5):
            table |= layer_shapes(f"{name}.layer_norm{number}", WIDTH)
    for i in range(MASK_TOKENS):
        name = f"{DECODER}.output_hypernetworks_mlps.{i}"
        table |= _mlp_shapes(name, [WIDTH, WIDTH, WIDTH, WIDTH // 8])
    return table


# The image encoder


def image_encoder(weights: Weights, side: int) -> Graph:
    """Pixels `[1, 3, S, S]`, normalised, to the embedding `[1, 256, S/16, S/16]` and the
    finer maps, ready for the decoder, at stride 4 `[1, 32, S/4, S/4]` and 8
    `[1, 64, S/8, S/8]`."""
    graph = Graph("sam2_image_encoder")
    pixels = graph.input("pixels", (1, 3, side, side))
    kernel, bias = (weights[f"{BACKBONE}.patch_embed.projection.{k}"] for k in ("weight", "bias"))
    x = graph.convolution(pixels, kernel, bias, 4, 3, "patch_embed")
    x = graph.transpose(x, (0, 2, 3, 1), "patch_tokens")
    x = graph.add(x, _position(graph, weights, side // 4), "tokens")
    ends = []
    for i, (block, ends_stage) in enumerate(TRUNK.blocks()):
        x = _block(graph, x, weights, f"{BACKBONE}.blocks.{i}", block)
        if ends_stage:
            ends.append(x)
    _neck(graph, weights, ends)
    return graph


def _position(graph: Graph, weights: Weights, side: int) -> Value:
    """The position embedding `[1, side, side, 96]`: a coarse background by bicubic
    interpolation, and one window's own embedding laid out as tiles.

    Both come from constants by two small products and one addition, which a runtime
    folds when it loads the graph: written out, they would be half of the file."""
    background = weights[f"{BACKBONE}.pos_embed"][0].transpose(1, 2, 0)
    coarse, width = background.shape[0], background.shape[2]
    steps = graph.constant("position.steps", bicubic(coarse, side))
    rows = graph.matmul(
        steps,
        graph.constant("position.background", background.reshape(coarse, coarse * width)),
        "position.rows",
    )
    rows = graph.reshape(rows, (side, coarse, width), "position.rows_apart")
    smooth = graph.matmul(steps, rows, "position.smooth")
    window = weights[f"{BACKBONE}.pos_embed_window"][0].transpose(1, 2, 0)
    tile, count = window.shape[0], side // window.shape[0]
    smooth = graph.reshape(smooth, (1, count, tile, count, tile, width), "position.tiles")
    window = graph.constant("position.window", window.reshape(1, 1, tile, 1, tile, width))
    both = graph.add(smooth, window, "position.both")
    return graph.reshape(both, (1, side, side, width), "position")


def bicubic(source: int, target: int) -> np.ndarray:
    """The matrix `[target, source]` of PyTorch's bicubic interpolation: Keys' kernel
    with a = -0.75, pixel centres aligned, edges repeated."""
    matrix = np.zeros((target, source))
    for row in range(target):
        at = (row + 0.5) * source / target - 0.5
        first = int(np.floor(at))
        for tap in range(first - 1, first + 3):
            matrix[row, min(max(tap, 0), source - 1)] += _keys(abs(at - tap))
    return matrix


def _keys(distance: float, a: float = -0.75) -> float:
    d = distance
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a


def _block(graph: Graph, x: Value, weights: Weights, name: str, block: Block) -> Value:
    """Windowed (or global) attention and an MLP, both residual, over `x [1, H, W, C]`."""
    normed = norm(graph, x, weights, f"{name}.layer_norm1", TRUNK_EPSILON)
    if block.width_in != block.width:
        x = linear(graph, normed, weights, f"{name}.proj")
    if block.pools:
        x = graph.max_pool(x, f"{name}.proj_pooled")
    _, height, width, _ = normed.shape
    window = block.window or height
    windows = _partition(graph, normed, window, f"{name}.windows")
    mixed = _window_attention(graph, windows, weights, f"{name}.attn", block, window)
    if block.pools:
        window, height, width = window // 2, height // 2, width // 2
    mixed = _unpartition(graph, mixed, window, height, width, f"{name}.whole")
    x = graph.add(x, mixed, f"{name}.attended")
    hidden = norm(graph, x, weights, f"{name}.layer_norm2", TRUNK_EPSILON)
    hidden = graph.gelu(linear(graph, hidden, weights, f"{name}.mlp.proj_in"), f"{name}.mlp.gelu")
    return graph.add(x, linear(graph, hidden, weights, f"{name}.mlp.proj_out"), name)


def _partition(graph: Graph, x: Value, window: int, name: str) -> Value:
    """`[1, H, W, C]` to windows `[count, window * window, C]`; sides that do not divide
    are filled up with zeros, which take part in the attention as SAM2's do."""
    _, height, width, channels = x.shape
    if height == window == width:
        return graph.reshape(x, (1, height * width, channels), name)
    missing = (0, -height % window, -width % window, 0)
    if any(missing):
        x = graph.pad(x, (0, 0, 0, 0), missing, f"{name}.padded")
    rows, columns = x.shape[1] // window, x.shape[2] // window
    x = graph.reshape(x, (rows, window, columns, window, channels), f"{name}.parted")
    x = graph.transpose(x, (0, 2, 1, 3, 4), f"{name}.sorted")
    return graph.reshape(x, (rows * columns, window * window, channels), name)


def _unpartition(graph: Graph, x: Value, window: int, height: int, width: int, name: str) -> Value:
    """The inverse of `_partition`, without what was filled up."""
    channels = x.shape[-1]
    if height == window == width:
        return graph.reshape(x, (1, height, width, channels), name)
    rows, columns = -(-height // window), -(-width // window)
    x = graph.reshape(x, (rows, columns, window, window, channels), f"{name}.parted")
    x = graph.transpose(x, (0, 2, 1, 3, 4), f"{name}.sorted")
    x = graph.reshape(x, (1, rows * window, columns * window, channels), f"{name}.padded")
    if (rows * window, columns * window) != (height, width):
        x = graph.slice(x, {1: (0, height), 2: (0, width)}, f"{name}.cut")
    return x


def _window_attention(
    graph: Graph, x: Value, weights: Weights, name: str, block: Block, window: int
) -> Value:
    """Self-attention within each window of `x [count, window * window, C]`; queries are
    max-pooled where a stage begins."""
    q, k, v = graph.split(linear(graph, x, weights, f"{name}.qkv"), 3, f"{name}.parts")
    if block.pools:
        count = x.shape[0]
        q = graph.reshape(q, (count, window, window, block.width), f"{name}.q_square")
        q = graph.max_pool(q, f"{name}.q_pooled")
        q = graph.reshape(q, (count, (window // 2) ** 2, block.width), f"{name}.q_tokens")
    mixed = graph.attention(q, k, v, block.heads, name)
    return linear(graph, mixed, weights, f"{name}.proj")


def _neck(graph: Graph, weights: Weights, ends: list[Value]) -> None:
    """The feature pyramid: strides 16 and 32 become the embedding, 4 and 8 the finer
    maps. The neck's and the decoder's 1 x 1 convolutions follow each other with nothing
    between, so each pair is one product."""
    stride4, stride8, stride16, stride32 = ends

    def neck(level: int) -> tuple[np.ndarray, np.ndarray]:
        name = f"vision_encoder.neck.convs.{level}"
        return weights[f"{name}.weight"][..., 0, 0], weights[f"{name}.bias"]

    coarse = graph.linear(stride32, *neck(0), "neck.stride32")
    weight, bias = neck(1)
    bias = bias + weights["no_memory_embedding"][0, 0]
    fine = graph.linear(stride16, weight, bias, "neck.stride16")
    # Nearest-neighbour doubling: each coarse token is added to its four fine ones.
    _, height, width, channels = coarse.shape
    coarse = graph.reshape(coarse, (1, height, 1, width, 1, channels), "neck.coarse")
    fine = graph.reshape(fine, (1, height, 2, width, 2, channels), "neck.fours")
    both = graph.add(fine, coarse, "neck.both")
    both = graph.reshape(both, (1, 2 * height, 2 * width, channels), "neck.joined")
    graph.output(graph.transpose(both, (0, 3, 1, 2), "neck.embedding"), "embedding")
    for x, level, convolution, output in (
        (stride4, 3, "conv_s0", "stride4"),
        (stride8, 2, "conv_s1", "stride8"),
    ):
        first, first_bias = (part.astype(np.float64) for part in neck(level))
        name = f"{DECODER}.{convolution}"
        second = weights[f"{name}.weight"][..., 0, 0].astype(np.float64)
        bias = second @ first_bias + weights[f"{name}.bias"]
        x = graph.linear(x, (second @ first).astype(np.float32), bias, f"neck.{output}")
        graph.output(graph.transpose(x, (0, 3, 1, 2), f"neck.{output}.planes"), output)


# The prompt encoder and mask decoder


def mask_decoder(weights: Weights, side: int) -> Graph:
    """The encoder's three maps, points `[1, N, 2]` in pixels of the input and labels
    `[1, N]` (1 inside, 0 outside, 2 and 3 a box's corners, -1 padding) to mask logits
    `[1, 4, S/4, S/4]`, predicted IoU `[1, 4]` and object score `[1, 1]`, a logit."""
    graph, grid = Graph("sam2_mask_decoder"), side // 16
    embedding = graph.input("embedding", (1, WIDTH, grid, grid))
    stride4 = graph.input("stride4", (1, WIDTH // 8, 4 * grid, 4 * grid))
    stride8 = graph.input("stride8", (1, WIDTH // 4, 2 * grid, 2 * grid))
    points = graph.input("points", (1, None, 2), "count")
    labels = graph.input("labels", (1, None), "count")

    tokens = graph.concatenate(
        [_own_tokens(graph, weights), _prompt_tokens(graph, weights, points, labels, side)],
        1,
        "tokens",
    )
    no_mask = graph.constant("no_mask", weights[f"{PROMPT}.no_mask_embed.weight"])
    keys = graph.transpose(embedding, (0, 2, 3, 1), "embedding.last")
    keys = graph.reshape(keys, (1, grid * grid, WIDTH), "embedding.tokens")
    keys = graph.add(keys, no_mask, "embedding.prompted")
    queries, keys = _two_way(graph, weights, tokens, keys, grid)

    def own(start: int, end: int, name: str) -> Value:
        return graph.slice(queries, {1: (start, end)}, name)

    pictures = _upscaled(graph, weights, keys, stride4, stride8, grid)
    hyper = [
        _mlp(graph, own(2 + i, 3 + i, f"mask_token.{i}"), weights, f"{DECODER}.{name}", 3)
        for i, name in enumerate(f"output_hypernetworks_mlps.{i}" for i in range(MASK_TOKENS))
    ]
    hyper = graph.transpose(graph.concatenate(hyper, 1, "hyper"), (0, 2, 1), "hyper.last")
    masks = graph.transpose(graph.matmul(pictures, hyper, "masks.last"), (0, 2, 1), "masks.rows")
    masks = graph.reshape(masks, (1, MASK_TOKENS, 4 * grid, 4 * grid), "masks.planes")
    graph.output(masks, "masks")
    iou = _mlp(graph, own(1, 2, "iou_token"), weights, f"{DECODER}.iou_prediction_head", 3)
    iou = graph.sigmoid(graph.reshape(iou, (1, MASK_TOKENS), "iou.row"), "iou")
    graph.output(iou, "predicted_iou")
    score = _mlp(graph, own(0, 1, "object_token"), weights, f"{DECODER}.pred_obj_score_head", 3)
    graph.output(graph.reshape(score, (1, 1), "score"), "object_score")
    return graph


def _own_tokens(graph: Graph, weights: Weights) -> Value:
    """The decoder's own tokens `[1, 6, 256]`: object, IoU and the four masks."""
    names = ("obj_score_token", "iou_token", "mask_tokens")
    own = np.concatenate([weights[f"{DECODER}.{name}.weight"] for name in names])
    return graph.constant("own_tokens", own[None])


def _prompt_tokens(
    graph: Graph, weights: Weights, points: Value, labels: Value, side: int
) -> Value:
    """One token a point, `[1, N, 256]`: Fourier features of its place and the embedding
    of its label; padding is one embedding, wherever it lies."""
    # sin and cos of 2 pi (2 (p + 0.5) / S - 1) G, as one product and one addition.
    gaussian = weights["shared_image_embedding.positional_embedding"].astype(np.float64)
    angles = graph.matmul(
        points, graph.constant("points.turns", 4 * np.pi / side * gaussian), "points.product"
    )
    offset = 2 * np.pi * (1 / side - 1) * gaussian.sum(axis=0)
    angles = graph.bias(angles, offset, "points.angles")
    place = _fourier(graph, angles, "points.place")

    labels = graph.reshape(labels, (1, None, 1), "labels.column")

    def equals(values: list[float], name: str) -> Value:
        known = graph.constant(f"{name}.values", np.array(values, np.float32))
        return graph.node("Equal", [labels, known], (1, None, len(values)), name)

    chosen = equals([0, 1, 2, 3], "labels.known")
    chosen = graph.node("Cast", [chosen], chosen.shape, "labels.chosen", to=1)
    table = graph.constant("labels.table", weights[f"{PROMPT}.point_embed.weight"])
    placed = graph.add(place, graph.matmul(chosen, table, "labels.embedding"), "points.placed")
    padding = graph.constant("labels.padding", weights[f"{PROMPT}.not_a_point_embed.weight"])
    is_padding = equals([-1], "labels.is_padding")
    return graph.node("Where", [is_padding, padding, placed], placed.shape, "prompt_tokens")


def _fourier(graph: Graph, angles: Value, name: str) -> Value:
    parts = [graph.node(f, [angles], angles.shape, f"{name}.{f.lower()}") for f in ("Sin", "Cos")]
    return graph.concatenate(parts, len(angles.shape) - 1, name)


def grid_position(weights: Weights, grid: int) -> np.ndarray:
    """Fourier features `[1, grid * grid, 256]` of the embedding's own cells."""
    axis = 2 * (np.arange(grid) + 0.5) / grid - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    places = np.stack([x, y], axis=-1).reshape(-1, 2)
    gaussian = weights["shared_image_embedding.positional_embedding"].astype(np.float64)
    angles = 2 * np.pi * places @ gaussian
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)[None].astype(np.float32)


def _two_way(
    graph: Graph, weights: Weights, tokens: Value, keys: Value, grid: int
) -> tuple[Value, Value]:
    """The two-way transformer: tokens ask themselves and the image, the image asks the
    tokens."""
    transformer = f"{DECODER}.transformer"
    places = graph.constant("grid_position", grid_position(weights, grid))

    def normed(x: Value, name: str) -> Value:
        return norm(graph, x, weights, name, DECODER_EPSILON)

    def ask(q: Value, k: Value, v: Value, name: str) -> Value:
        parts = zip((q, k, v), "qkv", strict=True)
        q, k, v = (linear(graph, x, weights, f"{name}.{part}_proj") for x, part in parts)
        return linear(graph, graph.attention(q, k, v, HEADS, name), weights, f"{name}.o_proj")

    queries, placed_keys = tokens, graph.add(keys, places, "keys.placed")
    for i in range(2):
        name = f"{transformer}.layers.{i}"
        if i == 0:
            mixed = ask(queries, queries, queries, f"{name}.self_attn")
        else:
            placed = graph.add(queries, tokens, f"{name}.self_attn.placed")
            mixed = ask(placed, placed, queries, f"{name}.self_attn")
            mixed = graph.add(queries, mixed, f"{name}.self_attn.sum")
        queries = normed(mixed, f"{name}.layer_norm1")
        step = f"{name}.cross_attn_token_to_image"
        placed = graph.add(queries, tokens, f"{step}.placed")
        queries = graph.add(queries, ask(placed, placed_keys, keys, step), f"{step}.sum")
        queries = normed(queries, f"{name}.layer_norm2")
        mixed = _mlp(graph, queries, weights, f"{name}.mlp", 2)
        queries = normed(graph.add(queries, mixed, f"{name}.mlp.sum"), f"{name}.layer_norm3")
        step = f"{name}.cross_attn_image_to_token"
        placed = graph.add(queries, tokens, f"{step}.placed")
        keys = graph.add(keys, ask(placed_keys, placed, queries, step), f"{step}.sum")
        keys = normed(keys, f"{name}.layer_norm4")
        placed_keys = graph.add(keys, places, f"{name}.keys.placed")
    step = f"{transformer}.final_attn_token_to_image"
    placed = graph.add(queries, tokens, f"{step}.placed")
    queries = graph.add(queries, ask(placed, placed_keys, keys, step), f"{step}.sum")
    return normed(queries, f"{transformer}.layer_norm_final_attn"), keys


def _mlp(graph: Graph, x: Value, weights: Weights, name: str, depth: int) -> Value:
    """`depth` linear layers with ReLU between them."""
    for layer in _mlp_layers(depth):
        x = linear(graph, x, weights, f"{name}.{layer}")
        if layer != "proj_out":
            x = graph.relu(x, f"{name}.{layer}.relu")
    return x


def _upscaled(
    graph: Graph, weights: Weights, keys: Value, stride4: Value, stride8: Value, grid: int
) -> Value:
    """The image's tokens at four times the resolution, `[1, 16 grid^2, 32]`."""
    x = graph.reshape(keys, (1, grid, grid, WIDTH), "upscale.grid")
    x = _doubled(graph, x, weights, f"{DECODER}.upscale_conv1")
    x = graph.add(x, graph.transpose(stride8, (0, 2, 3, 1), "stride8.last"), "upscale.with_8")
    x = norm(graph, x, weights, f"{DECODER}.upscale_layer_norm", TRUNK_EPSILON)
    x = _doubled(graph, graph.gelu(x, "upscale.gelu1"), weights, f"{DECODER}.upscale_conv2")
    x = graph.add(x, graph.transpose(stride4, (0, 2, 3, 1), "stride4.last"), "upscale.with_4")
    x = graph.gelu(x, "upscale.gelu2")
    return graph.reshape(x, (1, 16 * grid * grid, WIDTH // 8), "upscaled")


def _doubled(graph: Graph, x: Value, weights: Weights, name: str) -> Value:
    """A transposed convolution with kernel and stride 2 over `[1, H, W, C]`: no two of
    its squares overlap, so it is one product whose columns are then put in place."""
    kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    inputs, outputs = kernel.shape[:2]
    rows = kernel.transpose(2, 3, 1, 0).reshape(4 * outputs, inputs)
    _, height, width, _ = x.shape
    x = graph.linear(x, rows, np.tile(bias, 4), name)
    x = graph.reshape(x, (1, height, width, 2, 2, outputs), f"{name}.squares")
    x = graph.transpose(x, (0, 1, 3, 2, 4, 5), f"{name}.sorted")
    return graph.reshape(x, (1, 2 * height, 2 * width, outputs), f"{name}.doubled")


# A mask as a prompt


def mask_prompt(weights: Weights, side: int) -> Graph:
    """Mask logits `[1, 1, S/4, S/4]` to what is to be added to the embedding
    `[1, 256, S/16, S/16]` when the decoder is asked with this mask.

    SAM2 adds either this or its "no mask" embedding; the decoder always adds the
    latter, so it is taken off here and nobody pays for a mask that was not given."""
    graph, prompt = Graph("sam2_mask_prompt"), f"{PROMPT}.mask_embed"
    x = graph.input("mask", (1, 1, side // 4, side // 4))
    for i in (1, 2):
        kernel, bias = (weights[f"{prompt}.conv{i}.{kind}"] for kind in ("weight", "bias"))
        x = graph.convolution(x, kernel, bias, 2, 0, f"{prompt}.conv{i}")
        x = graph.transpose(x, (0, 2, 3, 1), f"{prompt}.conv{i}.last")
        x = norm(graph, x, weights, f"{prompt}.layer_norm{i}", TRUNK_EPSILON)
        x = graph.gelu(x, f"{prompt}.gelu{i}")
        if i == 1:
            x = graph.transpose(x, (0, 3, 1, 2), f"{prompt}.gelu{i}.planes")
    kernel, bias = (weights[f"{prompt}.conv3.{kind}"] for kind in ("weight", "bias"))
    bias = bias - weights[f"{PROMPT}.no_mask_embed.weight"][0]
    x = graph.linear(x, kernel[..., 0, 0], bias, f"{prompt}.conv3")
    graph.output(graph.transpose(x, (0, 3, 1, 2), "dense.planes"), "dense")
    return graph
