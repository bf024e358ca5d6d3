"""The PyTorch originals, as `transformers` has them, with the weights of a checkpoint.

Everything that `parity` compares is held against these and never against our own
earlier output.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel, Sam2Config, Sam2Model

from . import clip
from .checkpoint import Checkpoint


def _load(model: torch.nn.Module, weights: dict[str, np.ndarray]) -> torch.nn.Module:
    tensors = {name: torch.from_numpy(value.copy()) for name, value in weights.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert not missing and not unexpected, f"missing {missing}, unexpected {unexpected}"
    return model.eval()


class OriginalClip:
    """CLIP's image encoder with its projection, and its text encoder."""

    def __init__(self, checkpoint: Checkpoint, config: clip.ClipConfig) -> None:
        image = {
            "patch_size": config.patch,
            "hidden_size": config.image.width,
            "intermediate_size": 4 * config.image.width,
            "num_attention_heads": config.image.heads,
            "num_hidden_layers": config.image.depth,
        }
        settings = CLIPConfig(vision_config=image, text_config={})
        self.model = _load(CLIPModel(settings), checkpoint.weights)

    @torch.no_grad()
    def embed_images(self, pixels: np.ndarray) -> np.ndarray:
        """`[B, 3, 224, 224]`, normalised, to `[B, 512]`."""
        pooled = self.model.vision_model(pixel_values=torch.from_numpy(pixels)).pooler_output
        return self.model.visual_projection(pooled).numpy()

    @torch.no_grad()
    def embed_tokens(self, tokens: np.ndarray) -> np.ndarray:
        """Token numbers `[B, 77]` to `[B, 512]`."""
        pooled = self.model.text_model(input_ids=torch.from_numpy(tokens)).pooler_output
        return self.model.text_projection(pooled).numpy()


@dataclass(frozen=True)
class Answer:
    """What the original says of one image and one question."""

    embedding: np.ndarray
    """At stride 16, `[1, 256, S/16, S/16]`."""
    masks: np.ndarray
    """Logits of the three alternatives, `[3, S/4, S/4]`."""
    iou: np.ndarray
    """Their predicted IoU, `[3]`."""
    single: np.ndarray
    """Logits of the single mask, chosen by its steadiness, `[S/4, S/4]`."""
    single_iou: float
    score: float
    """Object score, a logit."""


class OriginalSam2:
    """SAM2's image predictor at one input size."""

    def __init__(self, checkpoint: Checkpoint, side: int) -> None:
        config = Sam2Config()
        config.prompt_encoder_config.image_size = side
        sizes = [[side // stride] * 2 for stride in (4, 8, 16)]
        config.vision_config.backbone_feature_sizes = sizes
        shared = "shared_image_embedding.positional_embedding"
        again = {"prompt_encoder.shared_embedding.positional_embedding": checkpoint.weights[shared]}
        self.model = _load(Sam2Model(config), checkpoint.weights | again)
        self.side = side

    @torch.no_grad()
    def encode(self, pixels: np.ndarray) -> list[torch.Tensor]:
        """`[1, 3, S, S]`, normalised, to the maps at strides 4, 8 and 16."""
        return self.model.get_image_embeddings(torch.from_numpy(pixels))

    @torch.no_grad()
    def ask(
        self,
        maps: list[torch.Tensor],
        box: tuple[float, float, float, float] | None = None,
        points: list[tuple[float, float, int]] | None = None,
        mask: np.ndarray | None = None,
    ) -> Answer:
        """Everything that the decoder says of a box or of points (x, y, label), with or
        without a mask `[S/4, S/4]` as a further prompt."""
        prompt = {
            "input_boxes": None if box is None else torch.tensor([[box]]),
            "input_points": None,
            "input_labels": None,
            "input_masks": None if mask is None else torch.from_numpy(mask)[None, None],
        }
        if points is not None:
            prompt["input_points"] = torch.tensor([[[[x, y] for x, y, _ in points]]])
            prompt["input_labels"] = torch.tensor([[[label for _, _, label in points]]])

        def run(several: bool) -> object:
            return self.model(image_embeddings=list(maps), multimask_output=several, **prompt)

        several, single = run(True), run(False)
        return Answer(
            embedding=maps[-1].numpy(),
            masks=several.pred_masks[0, 0].numpy(),
            iou=several.iou_scores[0, 0].numpy(),
            single=single.pred_masks[0, 0, 0].numpy(),
            single_iou=float(single.iou_scores[0, 0, 0]),
            score=float(several.object_score_logits[0, 0, 0]),
        )
