"""The student: the image tower that the product shall run.

A ViT with an overlapping convolutional stem like the starter's (`starter.clip`), at 160
pixels. Before every convolution that halves the picture stands a blur (Zhang 2019), so that
a shift of a pixel changes little; the blur is linear and is folded into the convolution
when the graph is written (`folded`), so the device sees plain convolutions of 5 x 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from starter.clip import Block, Residual

INPUT = 160
PATCH = 16


@dataclass(frozen=True)
class TowerConfig:
    """Sizes of the student."""

    input_size: int = INPUT
    stem: tuple[int, int, int] = (24, 48, 96)
    width: int = 192
    depth: int = 6
    heads: int = 4
    embedding: int = 192


class Halving(nn.Module):
    """Blur, then a 3 x 3 convolution of stride 2; norm and ReLU unless it is the last."""

    def __init__(self, inputs: int, outputs: int, last: bool = False) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, 2, 0, bias=last)
        self.norm = nn.Identity() if last else nn.BatchNorm2d(outputs)
        self.last = last

    def kernel(self) -> Tensor:
        """The blur folded into the weights: `[outputs, inputs, 5, 5]`."""
        line = torch.tensor([0.25, 0.5, 0.25])
        blur = (line[:, None] * line[None, :]).reshape(1, 1, 3, 3)
        weight = self.convolution.weight
        flat = weight.reshape(-1, 1, 3, 3)
        # The blur is its own mirror, so correlation with it is convolution.
        return F.conv2d(flat, blur, padding=2).reshape(*weight.shape[:2], 5, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.kernel(), self.convolution.bias, stride=2, padding=2)
        return x if self.last else F.relu(self.norm(x))


class Tower(nn.Module):
    """Pixels `[B, 3, S, S]`, normalised, to an embedding and patch embeddings."""

    def __init__(self, config: TowerConfig = TowerConfig()) -> None:
        super().__init__()
        self.config = config
        a, b, c = config.stem
        self.stem = nn.Sequential(
            Halving(3, a),
            Halving(a, b),
            Residual(b),
            Halving(b, c),
            Residual(c),
            Halving(c, config.width, last=True),
        )
        side = config.input_size // PATCH
        self.class_token = nn.Parameter(torch.randn(1, 1, config.width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, config.width, side, side) * 0.02)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, 0.05 * i / max(config.depth - 1, 1))
            for i in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)
        self.projection = nn.Linear(config.width, config.embedding, bias=False)

    def tokens(self, pixels: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The last block's output after its norm, class token first, and what each patch alone
        brought into it, after the same norm; of `keep`, `[B, K]`, only those patches."""
        x = (self.stem(pixels) + self.position).flatten(2).permute(0, 2, 1)
        if keep is not None:
            x = torch.gather(x, 1, keep.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1)
        *lower, last = self.blocks
        for block in lower:
            x = block(x)
        x, values = last.with_values(x)
        return self.norm(x), self.norm(last.proj(values[:, 1:]))

    def pooled(self, tokens: Tensor) -> Tensor:
        """The class token and the mean of the patches, as `starter.clip` pools."""
        return self.projection(0.5 * (tokens[:, 0] + tokens[:, 1:].mean(dim=1)))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding `[B, E]`, and the patches' `[B, patches, E]` in the same space: what each
        patch says by itself, before attention mixes them (dense CLIP, Zhou et al. 2022)."""
        tokens, alone = self.tokens(pixels)
        return self.pooled(tokens), self.projection(alone)


def normalised(grey: Tensor) -> Tensor:
    """uint8 `[B, S, S]` to the tower's input `[B, 3, S, S]`."""
    x = (grey.float() / 255 - 0.5) / 0.25
    return x.unsqueeze(1).expand(-1, 3, -1, -1)
