"""The student's beginning from the shipped bundle's encoder, which is smaller and looks at
fewer pixels: same stem and width, fewer blocks.

The bundle's norms are folded into its convolutions; here each gets a norm again that changes
nothing on the first pictures it sees. Blocks that the bundle lacks begin as what passes
everything through.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from starter.clip import ClipConfig
from starter.from_bundle import image_tower

from .tower import INPUT, Halving, Tower, normalised
from .views import Views

SEEN = 256
"""Views by which the norms are set."""


def grown(tower: Tower, bundle: Path, views: Views) -> None:
    """Puts the bundle's weights into `tower`; its projection begins as the bundle's where
    that has rows."""
    old = image_tower(bundle, ClipConfig())
    chosen = np.linspace(0, len(views) - 1, SEEN).astype(int)
    pictures = normalised(torch.from_numpy(views.pictures[chosen][:, :INPUT, :INPUT].copy()))
    with torch.no_grad():
        stem(tower.stem, old.stem, pictures)
        tower.class_token.copy_(old.class_token)
        size = tower.position.shape[-2:]
        tower.position.copy_(F.interpolate(old.position, size=size, mode="bicubic"))
        for i, block in enumerate(tower.blocks):
            # The new ones stand in front of the last: that one is what the answers rest on.
            if i < len(old.blocks) - 1:
                block.load_state_dict(old.blocks[i].state_dict())
            elif i == len(tower.blocks) - 1:
                block.load_state_dict(old.blocks[-1].state_dict())
            else:
                for layer in (block.proj, block.down):
                    nn.init.zeros_(layer.weight)
                    nn.init.zeros_(layer.bias)
        tower.norm.load_state_dict(old.norm.state_dict())
        rows = old.projection.weight.shape[0]
        tower.projection.weight[:rows].copy_(old.projection.weight)


def stem(new: nn.Sequential, old: nn.Sequential, x: Tensor) -> None:
    """Layer after layer, on what the layers before make of the pictures."""
    for mine, theirs in zip(new, old, strict=True):
        if isinstance(mine, Halving):
            source = theirs if mine.last else theirs[0]
            mine.convolution.weight.copy_(source.weight)
            if mine.last:
                mine.convolution.bias.copy_(source.bias)
            else:
                before = F.conv2d(x, mine.kernel(), None, stride=2, padding=2)
                neutral(mine.norm, before, source.bias)
        else:
            first, second = theirs.first[0], theirs.second
            mine.first[0].weight.copy_(first.weight)
            before = mine.first[0](x)
            neutral(mine.first[1], before, first.bias)
            inner = F.relu(before + first.bias.reshape(1, -1, 1, 1))
            mine.second.weight.copy_(second.weight)
            neutral(mine.norm, mine.second(inner), second.bias)
        mine.eval()
        x = mine(x)
        mine.train()


def neutral(norm: nn.BatchNorm2d, values: Tensor, bias: Tensor) -> None:
    """A norm that on such values only adds `bias`."""
    mean, variance = values.mean(dim=(0, 2, 3)), values.var(dim=(0, 2, 3))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean + bias)
