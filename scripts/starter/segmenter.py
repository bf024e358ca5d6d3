"""The reduced SAM2: Hiera trunk, FPN neck, prompt encoder and mask decoder.

The graph family is that of SAM2-tiny (Ravi et al. 2024, arXiv 2408.00714) with
Hiera (Ryali et al. 2023, arXiv 2306.00989) as the trunk: the same blocks in the
same order, fewer and narrower. The memory attention of the video model is left
out, as SAM2 itself does for single images.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class SegmenterConfig:
    """Sizes of the reduced SAM2; `sam2-hiera-tiny` stands in the comments."""

    input_size: int = 192  # 1024
    embed_dim: int = 32  # 96
    stages: tuple[int, ...] = (1, 2, 3, 1)  # (1, 2, 7, 2)
    heads: int = 1  # 1, doubled at each stage
    windows: tuple[int, ...] = (8, 4, 6, 6)  # (8, 4, 14, 7)
    global_blocks: tuple[int, ...] = (4, 5)  # (5, 7, 9)
    d_model: int = 128  # 256
    decoder_heads: int = 4  # 8
    decoder_mlp: int = 256  # 2048
    decoder_depth: int = 2  # 2
    position_background: tuple[int, int] = field(default=(6, 6))  # (7, 7)

    @property
    def embedding_size(self) -> int:
        return self.input_size // 16


class Mlp(nn.Module):
    """Linear layers with an activation between them."""

    def __init__(
        self, sizes: list[int], activation: type[nn.Module], sigmoid: bool = False
    ) -> None:
        super().__init__()
        pairs = itertools.pairwise(sizes)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        self.activation = activation()
        self.sigmoid = sigmoid

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i + 1 < len(self.layers):
                x = self.activation(x)
        return torch.sigmoid(x) if self.sigmoid else x


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention; its scale is a plain number, so that the exported
    graph holds a constant where it would work out a square root of a shape.

    Under autocast it is written out: PyTorch's fused one takes longer to go back through in
    bfloat16 than all the rest of the encoder."""
    if torch.is_autocast_enabled("cpu"):
        weights = (q * int(q.shape[-1]) ** -0.5) @ k.transpose(-1, -2)
        return weights.softmax(dim=-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, scale=int(q.shape[-1]) ** -0.5)


def partition(x: Tensor, window: int) -> Tensor:
    """`[B, H, W, C]` to `[B * windows, window, window, C]`; sides divide evenly."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // window, window, w // window, window, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, window, window, c)


def unpartition(x: Tensor, window: int, h: int, w: int) -> Tensor:
    """The inverse of `partition`."""
    c = x.shape[-1]
    x = x.reshape(-1, h // window, w // window, window, window, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, h, w, c)


def pool(x: Tensor) -> Tensor:
    """2 x 2 max-pool of `[B, H, W, C]`."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2, 2).permute(0, 2, 3, 1)


class MultiScaleAttention(nn.Module):
    """Self-attention over one window; queries are max-pooled where a stage begins."""

    def __init__(self, dim: int, dim_out: int, heads: int, q_pool: bool) -> None:
        super().__init__()
        self.heads, self.q_pool = heads, q_pool
        self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, _ = x.shape
        qkv = self.qkv(x).reshape(b, h * w, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        if self.q_pool:
            q = q.permute(0, 2, 1, 3).reshape(b, h, w, -1)
            q = pool(q)
            h, w = h // 2, w // 2
            q = q.reshape(b, h * w, self.heads, -1).permute(0, 2, 1, 3)
        x = attend(q, k, v)
        return self.proj(x.permute(0, 2, 1, 3).reshape(b, h, w, -1))


class MultiScaleBlock(nn.Module):
    """A Hiera block: windowed (or global) attention and an MLP, both residual."""

    def __init__(self, dim: int, dim_out: int, heads: int, window: int, q_pool: bool) -> None:
        super().__init__()
        self.window, self.q_pool = window, q_pool
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = MultiScaleAttention(dim, dim_out, heads, q_pool)
        self.norm2 = nn.LayerNorm(dim_out, eps=1e-6)
        self.mlp = Mlp([dim_out, 4 * dim_out, dim_out], nn.GELU)
        self.proj = nn.Linear(dim, dim_out) if dim != dim_out else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        x = self.norm1(x)
        if self.proj is not None:
            shortcut = pool(self.proj(x)) if self.q_pool else self.proj(x)
        h, w = x.shape[1:3]
        window = self.window
        if window:
            x = partition(x, window)
        x = self.attn(x)
        if self.q_pool:
            window, h, w = window // 2, h // 2, w // 2
        if self.window:
            x = unpartition(x, window, h, w)
        x = shortcut + x
        return x + self.mlp(self.norm2(x))


class Hiera(nn.Module):
    """The trunk: four stages at strides 4, 8, 16 and 32."""

    def __init__(self, c: SegmenterConfig) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, c.embed_dim, 7, stride=4, padding=3)
        self.pos_embed = nn.Parameter(torch.zeros(1, c.embed_dim, *c.position_background))
        self.pos_embed_window = nn.Parameter(
            torch.zeros(1, c.embed_dim, c.windows[0], c.windows[0])
        )
        self.blocks = nn.ModuleList()
        self.stage_ends: list[int] = []
        dim, heads, index = c.embed_dim, c.heads, 0
        for stage, depth in enumerate(c.stages):
            for place in range(depth):
                first = stage > 0 and place == 0
                out = dim * 2 if first else dim
                heads = heads * 2 if first else heads
                # As in SAM2, the block that pools still works on the windows of the
                # stage before it.
                window = c.windows[stage - 1] if first else c.windows[stage]
                window = 0 if index in c.global_blocks else window
                self.blocks.append(MultiScaleBlock(dim, out, heads, window, first))
                dim = out
                index += 1
            self.stage_ends.append(index - 1)

    def position(self, h: int, w: int) -> Tensor:
        background = F.interpolate(self.pos_embed, size=(h, w), mode="bicubic")
        window = self.pos_embed_window
        tiles = window.tile(1, 1, h // window.shape[2], w // window.shape[3])
        return (background + tiles).permute(0, 2, 3, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.patch_embed(x).permute(0, 2, 3, 1)
        x = x + self.position(x.shape[1], x.shape[2])
        outputs = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.stage_ends:
                outputs.append(x.permute(0, 3, 1, 2))
        return outputs


class ImageEncoder(nn.Module):
    """Trunk and FPN neck; gives the stride-16 embedding and the two finer maps,
    already projected for the mask decoder (SAM2's `conv_s0`, `conv_s1`)."""

    def __init__(self, c: SegmenterConfig) -> None:
        super().__init__()
        self.trunk = Hiera(c)
        dims = [c.embed_dim * 2**i for i in range(4)]
        self.neck = nn.ModuleList(nn.Conv2d(d, c.d_model, 1) for d in dims)
        self.conv_s0 = nn.Conv2d(c.d_model, c.d_model // 8, 1)
        self.conv_s1 = nn.Conv2d(c.d_model, c.d_model // 4, 1)
        self.no_mem_embed = nn.Parameter(torch.zeros(1, c.d_model, 1, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        s4, s8, s16, s32 = self.trunk(image)
        coarse = self.neck[3](s32)
        embed = self.neck[2](s16) + F.interpolate(coarse, scale_factor=2.0, mode="nearest")
        return (
            embed + self.no_mem_embed,
            self.conv_s0(self.neck[0](s4)),
            self.conv_s1(self.neck[1](s8)),
        )


class PromptEncoder(nn.Module):
    """Points as sparse embeddings. Labels: 1 inside, 0 outside, 2 and 3 the box's
    top-left and bottom-right corners, -1 padding."""

    def __init__(self, c: SegmenterConfig) -> None:
        super().__init__()
        self.input_size, self.size = c.input_size, c.embedding_size
        self.register_buffer("gaussian", torch.randn(2, c.d_model // 2))
        self.point_embeddings = nn.Parameter(torch.randn(4, c.d_model) * 0.02)
        self.not_a_point = nn.Parameter(torch.randn(c.d_model) * 0.02)
        self.no_mask = nn.Parameter(torch.randn(c.d_model) * 0.02)

    def encode(self, unit: Tensor) -> Tensor:
        """Random Fourier features of coordinates in the unit square."""
        x = 2 * math.pi * ((2 * unit - 1) @ self.gaussian)
        return torch.cat([x.sin(), x.cos()], dim=-1)

    def dense_position(self) -> Tensor:
        axis = (torch.arange(self.size, dtype=torch.float32) + 0.5) / self.size
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        return self.encode(torch.stack([x, y], dim=-1)).permute(2, 0, 1).unsqueeze(0)

    def forward(self, coords: Tensor, labels: Tensor) -> Tensor:
        position = self.encode((coords + 0.5) / self.input_size)
        label = labels.unsqueeze(-1)
        known = sum((label == i).to(position.dtype) * self.point_embeddings[i] for i in range(4))
        padding = (label == -1).to(position.dtype)
        return position * (1 - padding) + padding * self.not_a_point + known


class Attention(nn.Module):
    """Multi-head attention with a narrower inner width."""

    def __init__(self, dim: int, heads: int, downsample: int = 1) -> None:
        super().__init__()
        inner = dim // downsample
        self.heads, self.head_width = heads, inner // heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(dim, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, dim)

    def split(self, x: Tensor) -> Tensor:
        # The number of tokens stays open; all else is a plain number, for the same reason.
        return x.reshape(int(x.shape[0]), -1, self.heads, self.head_width).permute(0, 2, 1, 3)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = self.split(self.q_proj(q)), self.split(self.k_proj(k)), self.split(self.v_proj(v))
        x = attend(q, k, v).permute(0, 2, 1, 3)
        return self.out_proj(x.reshape(int(x.shape[0]), -1, self.heads * self.head_width))


class TwoWayBlock(nn.Module):
    """Tokens attend to themselves, tokens to image, an MLP, image to tokens."""

    def __init__(self, c: SegmenterConfig, first: bool) -> None:
        super().__init__()
        d = c.d_model
        self.first = first
        self.self_attn = Attention(d, c.decoder_heads)
        self.norm1 = nn.LayerNorm(d)
        self.token_to_image = Attention(d, c.decoder_heads, 2)
        self.norm2 = nn.LayerNorm(d)
        self.mlp = Mlp([d, c.decoder_mlp, d], nn.ReLU)
        self.norm3 = nn.LayerNorm(d)
        self.image_to_token = Attention(d, c.decoder_heads, 2)
        self.norm4 = nn.LayerNorm(d)

    def forward(self, q: Tensor, k: Tensor, q_pe: Tensor, k_pe: Tensor) -> tuple[Tensor, Tensor]:
        q = self.self_attn(q, q, q) if self.first else q + self.self_attn(q + q_pe, q + q_pe, q)
        q = self.norm1(q)
        q = self.norm2(q + self.token_to_image(q + q_pe, k + k_pe, k))
        q = self.norm3(q + self.mlp(q))
        k = self.norm4(k + self.image_to_token(k + k_pe, q + q_pe, q))
        return q, k


class LayerNorm2d(nn.Module):
    """LayerNorm over the channels of `[B, C, H, W]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class MaskDecoder(nn.Module):
    """Prompt encoder and mask decoder in one graph.

    Outputs for `B` prompts: mask logits `[B, 4, S/4, S/4]` (token 0 is the single
    mask, 1 to 3 the multimask alternatives), predicted IoU `[B, 4]` and the object
    score `[B, 1]` (a logit: is there anything at all)."""

    TOKENS = 4

    def __init__(self, c: SegmenterConfig) -> None:
        super().__init__()
        d = c.d_model
        self.prompt = PromptEncoder(c)
        self.object_token = nn.Parameter(torch.randn(1, d) * 0.02)
        self.iou_token = nn.Parameter(torch.randn(1, d) * 0.02)
        self.mask_tokens = nn.Parameter(torch.randn(self.TOKENS, d) * 0.02)
        self.blocks = nn.ModuleList(TwoWayBlock(c, i == 0) for i in range(c.decoder_depth))
        self.final_attn = Attention(d, c.decoder_heads, 2)
        self.final_norm = nn.LayerNorm(d)
        self.up1 = nn.ConvTranspose2d(d, d // 4, 2, stride=2)
        self.up_norm = LayerNorm2d(d // 4)
        self.up2 = nn.ConvTranspose2d(d // 4, d // 8, 2, stride=2)
        self.hyper = nn.ModuleList(Mlp([d, d, d, d // 8], nn.ReLU) for _ in range(self.TOKENS))
        self.iou_head = Mlp([d, d, d, self.TOKENS], nn.ReLU, sigmoid=True)
        self.object_head = Mlp([d, d, 1], nn.ReLU)

    def hints(self, coords: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
        """What the points add to the embedding, to the finest map and to the masks; nothing
        here (see `segmenter.model`)."""
        return None

    def forward(
        self, embed: Tensor, s0: Tensor, s1: Tensor, coords: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        b = int(embed.shape[0])
        hints = self.hints(coords, labels)
        if hints is not None:
            embed, s0 = embed + hints[0], s0 + hints[1]
        fixed = torch.cat([self.object_token, self.iou_token, self.mask_tokens])
        tokens = torch.cat(
            [fixed.unsqueeze(0).expand(b, -1, -1), self.prompt(coords, labels)], dim=1
        )
        source = embed + self.prompt.no_mask.reshape(1, -1, 1, 1)
        side = self.prompt.size
        keys = source.flatten(2).permute(0, 2, 1)
        keys_pe = self.prompt.dense_position().flatten(2).permute(0, 2, 1)
        queries = tokens
        for block in self.blocks:
            queries, keys = block(queries, keys, tokens, keys_pe)
        queries = self.final_norm(queries + self.final_attn(queries + tokens, keys + keys_pe, keys))
        grid = keys.permute(0, 2, 1).reshape(b, -1, side, side)
        up = F.gelu(self.up_norm(self.up1(grid) + s1))
        up = F.gelu(self.up2(up) + s0)
        weights = torch.stack([mlp(queries[:, 2 + i]) for i, mlp in enumerate(self.hyper)], dim=1)
        masks = weights @ up.flatten(2)
        masks = masks.reshape(b, self.TOKENS, 4 * side, 4 * side)
        if hints is not None:
            masks = masks + hints[2]
        return masks, self.iou_head(queries[:, 1]), self.object_head(queries[:, 0])


class Segmenter(nn.Module):
    """Encoder and decoder together, as they are trained."""

    def __init__(self, config: SegmenterConfig | None = None) -> None:
        super().__init__()
        self.config = config or SegmenterConfig()
        self.encoder = ImageEncoder(self.config)
        self.decoder = MaskDecoder(self.config)
