"""The reduced SAM2 with a mask among its prompts, and its weights as files."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from starter.segmenter import LayerNorm2d, MaskDecoder, Segmenter, SegmenterConfig

LARGEST_LOGIT = 32.0
HIDDEN = (4, 16)


class MaskPrompt(nn.Module):
    """Mask logits `[B, 1, S/4, S/4]` to what is added to the embedding `[B, D, S/16, S/16]`:
    SAM's own convolutions. The decoder adds `no_mask` to every embedding, so that is taken
    off here (as `fullsize.sam2.mask_prompt` does)."""

    def __init__(self, c: SegmenterConfig) -> None:
        super().__init__()
        first, second = HIDDEN
        self.down1, self.norm1 = nn.Conv2d(1, first, 2, 2), LayerNorm2d(first)
        self.down2, self.norm2 = nn.Conv2d(first, second, 2, 2), LayerNorm2d(second)
        self.out = nn.Conv2d(second, c.d_model, 1)

    def forward(self, logits: Tensor) -> Tensor:
        x = logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
        x = F.gelu(self.norm1(self.down1(x)))
        return self.out(F.gelu(self.norm2(self.down2(x))))


class Hints(nn.Module):
    """Points and boxes drawn as maps, for the embedding `[B, D, S/16, S/16]`, the finest map
    `[B, D/8, S/4, S/4]` and the masks' logits `[B, 4, S/4, S/4]`.

    SAM tells the decoder of points by tokens alone, and it took a billion masks to learn to
    read them; the shipped segmenter never did. Here each point is also drawn where it lies:
    as a small and a wide disc, by whether it is inside or outside, and a box as its inside,
    its outside and its ellipse. Made of products, sums and sigmoids, so the graph stays a
    plain one.
    """

    CHANNELS = 7
    SMALL, WIDE = 2.5, 8.0
    """Radii in cells of `S/4`."""
    GAIN = 8.0
    """Of the weights from maps to logits: a logit is large beside other weights."""

    def __init__(self, c: SegmenterConfig) -> None:
        super().__init__()
        self.input_size, self.side = c.input_size, c.input_size // 4
        fine = c.d_model // 8
        self.down1, self.norm1 = nn.Conv2d(self.CHANNELS, fine, 2, 2), LayerNorm2d(fine)
        self.down2, self.norm2 = nn.Conv2d(fine, 4 * fine, 2, 2), LayerNorm2d(4 * fine)
        self.to_embedding = nn.Conv2d(4 * fine, c.d_model, 1)
        self.to_finest = nn.Conv2d(self.CHANNELS, fine, 1)
        self.to_masks = nn.Conv2d(self.CHANNELS, MaskDecoder.TOKENS, 1, bias=False)

    def maps(self, coords: Tensor, labels: Tensor) -> Tensor:
        """`[B, CHANNELS, S/4, S/4]` of points `[B, N, 2]` with labels `[B, N]`."""
        axis = torch.arange(self.side, dtype=torch.float32) + 0.5
        y, x = (grid.reshape(1, 1, -1) for grid in torch.meshgrid(axis, axis, indexing="ij"))
        at = (coords + 0.5) * (self.side / self.input_size)
        right, below = x - at[:, :, :1], y - at[:, :, 1:]
        apart = right * right + below * below
        small, wide = (torch.sigmoid((r * r - apart) * (2 / r)) for r in (self.SMALL, self.WIDE))
        # How far a cell lies right of and below each point, as 0 to 1.
        right, below = torch.sigmoid(2 * right), torch.sigmoid(2 * below)
        label = labels.unsqueeze(1)
        outside, inside, first, last = ((label == n).to(x.dtype) for n in range(4))
        behind = right * below
        after = first @ behind
        box = after * (last @ ((1 - right) * (1 - below)))
        beside = after + first @ (1 - behind) - box
        ellipse = self.ellipse(first @ at, last @ at, x, y)
        discs = [inside @ small, inside @ wide, outside @ small, outside @ wide]
        drawn = torch.cat([*discs, box, beside, ellipse], dim=1)
        return drawn.reshape(-1, self.CHANNELS, self.side, self.side)

    def ellipse(self, first: Tensor, last: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The ellipse in the box between two corners `[B, 1, 2]`, the fainter the more of the
        image the box holds: a box around all of it says nothing of a shape."""
        middle, half = (first + last) * 0.5, (last - first) * 0.5
        tight = 1 - half[:, :, :1] * half[:, :, 1:] * (4 / self.side**2)
        # Without a box both corners are 0, and everything lies far outside.
        across = (x - middle[:, :, :1]) / (half[:, :, :1] + 1e-3)
        down = (y - middle[:, :, 1:]) / (half[:, :, 1:] + 1e-3)
        return tight * torch.sigmoid(4 * (1 - across * across - down * down))

    def forward(self, coords: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # Halves would move a box by half a pixel.
        with torch.autocast("cpu", enabled=False):
            maps = self.maps(coords, labels)
        x = F.gelu(self.norm1(self.down1(maps)))
        x = F.gelu(self.norm2(self.down2(x)))
        return self.to_embedding(x), self.to_finest(maps), self.GAIN * self.to_masks(maps)


class HintedDecoder(MaskDecoder):
    """The mask decoder with `Hints`; the same inputs and outputs."""

    def __init__(self, c: SegmenterConfig) -> None:
        super().__init__(c)
        self.drawn = Hints(c)

    def hints(self, coords: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.drawn(coords, labels)


class Prompted(Segmenter):
    """The segmenter of the bundle whose decoder is told of its prompts by maps too, and the
    graph that turns a mask into a prompt."""

    def __init__(self, config: SegmenterConfig | None = None) -> None:
        super().__init__(config)
        self.decoder = HintedDecoder(self.config)
        self.mask_prompt = MaskPrompt(self.config)

    def dense(self, logits: Tensor) -> Tensor:
        """What a mask adds to the embedding."""
        no_mask = self.decoder.prompt.no_mask.reshape(1, -1, 1, 1)
        return self.mask_prompt(logits) - no_mask


def normalised(grey: Tensor) -> Tensor:
    """Grey uint8 `[B, S, S]` as the encoder takes it."""
    return ((grey.float() / 255 - 0.5) / 0.25).unsqueeze(1).expand(-1, 3, -1, -1)


def save(model: Prompted, path: Path) -> None:
    """float16."""
    halves = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(halves, path, metadata={"format": "pt"})
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def load(path: Path) -> Prompted:
    """The weights that `save` wrote, as floats."""
    model = Prompted()
    model.load_state_dict(load_file(path))
    return model.float().eval()


@torch.no_grad()
def begun(model: Prompted) -> None:
    """A mask prompt and hints that at first add nothing."""
    nn.init.zeros_(model.mask_prompt.out.weight)
    model.mask_prompt.out.bias.copy_(model.decoder.prompt.no_mask)
    drawn = model.decoder.drawn
    for layer in (drawn.to_embedding, drawn.to_finest, drawn.to_masks):
        nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
