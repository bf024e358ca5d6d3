"""The reduced CLIP: a ViT image tower with a convolutional stem and a text tower.

The image tower is the hybrid form of ViT (Dosovitskiy et al. 2021, section 3.1;
Xiao et al. 2021 on early convolutions), because a few thousand images are too
few for a plain patch embedding. The text tower is CLIP's, smaller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ClipConfig:
    """Sizes of the reduced CLIP; `clip-vit-base-patch16` stands in the comments."""

    input_size: int = 128  # 224
    stem: tuple[int, ...] = (24, 48, 96)
    width: int = 192  # 768
    depth: int = 4  # 12
    heads: int = 4  # 12
    embedding: int = 128  # 512
    vocabulary: int = 49408
    context: int = 32  # 77
    text_width: int = 128  # 512
    text_depth: int = 2  # 12


class QuickGelu(nn.Module):
    """CLIP's GELU: `x * sigmoid(1.702 x)`."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int, drop: float) -> None:
        super().__init__()
        self.heads, self.drop = heads, drop
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gelu = QuickGelu()

    def keep(self, x: Tensor) -> Tensor:
        """Stochastic depth (Huang et al. 2016) while training."""
        if not self.training or self.drop == 0:
            return x
        mask = torch.rand(len(x), 1, 1) >= self.drop
        return x * mask / (1 - self.drop)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        return self.with_values(x, bias)[0]

    def with_values(self, x: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The block's tokens, and each token's own values, as attention mixes them."""
        # Tokens and widths as plain numbers and only the batch left open: the exported
        # graph then holds constants where it would work shapes out.
        tokens, head_width = int(x.shape[1]), self.proj.in_features // self.heads
        qkv = self.qkv(self.norm1(x)).reshape(-1, tokens, 3, self.heads, head_width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scale = head_width**-0.5
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
        mixed = mixed.permute(0, 2, 1, 3).reshape(-1, tokens, self.proj.in_features)
        x = x + self.keep(self.proj(mixed))
        own = v.permute(0, 2, 1, 3).reshape(-1, tokens, self.proj.in_features)
        return x + self.keep(self.down(self.gelu(self.up(self.norm2(x))))), own


def convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels, 1)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.second(self.first(x))))


class ImageTower(nn.Module):
    """Pixels `[B, 3, S, S]`, normalised, to embeddings `[B, embedding]` (not yet of
    unit length)."""

    def __init__(self, c: ClipConfig) -> None:
        super().__init__()
        a, b, d = c.stem
        self.stem = nn.Sequential(
            convolution(3, a, 2),
            convolution(a, b, 2),
            Residual(b),
            convolution(b, d, 2),
            Residual(d),
            nn.Conv2d(d, c.width, 3, 2, 1),
        )
        side = c.input_size // 16
        self.class_token = nn.Parameter(torch.randn(1, 1, c.width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, c.width, side, side) * 0.02)
        self.blocks = nn.ModuleList(
            Block(c.width, c.heads, 0.1 * i / max(c.depth - 1, 1)) for i in range(c.depth)
        )
        self.norm = nn.LayerNorm(c.width)
        self.projection = nn.Linear(c.width, c.embedding, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.stem(pixels)
        position = self.position
        if position.shape[-1] != x.shape[-1]:
            position = F.interpolate(position, size=x.shape[-2:], mode="bicubic")
        x = (x + position).flatten(2).permute(0, 2, 1)
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        # The class token and the mean of the patches, as small ViTs pool best.
        x = self.norm(x)
        return self.projection(0.5 * (x[:, 0] + x[:, 1:].mean(dim=1)))


class TextTower(nn.Module):
    """Tokens `[B, context]` to embeddings `[B, embedding]`; causal, read at the end mark."""

    def __init__(self, c: ClipConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(c.vocabulary, c.text_width)
        self.position = nn.Parameter(torch.randn(1, c.context, c.text_width) * 0.01)
        self.blocks = nn.ModuleList(Block(c.text_width, 4, 0.0) for _ in range(c.text_depth))
        self.norm = nn.LayerNorm(c.text_width)
        self.projection = nn.Linear(c.text_width, c.embedding, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.position
        # Made here and not kept as a buffer: the weights' running average would turn
        # its infinities into NaN.
        causal = torch.full((tokens.shape[1], tokens.shape[1]), float("-inf")).triu(1)
        for block in self.blocks:
            x = block(x, causal)
        end = tokens.argmax(dim=1)
        return self.projection(self.norm(x[torch.arange(len(x)), end]))


class Clip(nn.Module):
    """Both towers, the temperature, and one linear classifier a task for Le."""

    def __init__(self, config: ClipConfig, classes: dict[str, int]) -> None:
        super().__init__()
        self.config = config
        self.image, self.text = ImageTower(config), TextTower(config)
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))
        self.classifiers = nn.ModuleDict(
            {task: nn.Linear(config.embedding, count) for task, count in classes.items()}
        )
