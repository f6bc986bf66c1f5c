"""What stands where in the output of an encoder's family: the wanted tower, the final norm, [CLS], patches, padding.

One function a question, so that a new family is an entry here and nothing else. Shapes: N items, S tokens, E width.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from midstream.errors import InputError

TOWERS = ("vision_model", "audio_model")
"""Attributes under which two-tower models keep the encoder that is wanted here."""

FINAL_NORMS = ("layernorm", "post_layernorm", "final_layer_norm", "layer_norm", "norm", "ln_post")
"""Names of the norm after the last block, most specific first."""

FRAME_COUNTS = ("num_frames", "frames_per_clip")
"""Config fields by which an encoder says how many frames it reads; one without any reads single pictures."""


def tower(model: Any) -> Any:
    """The encoder inside a model that has more; DINOv2's `encoder`, without its embeddings, is not one."""
    for name in (*TOWERS, *(("encoder",) if model.config.is_encoder_decoder else ())):
        found = getattr(model, name, None)
        if isinstance(found, PreTrainedModel):
            return found
    return model


def final_norm(model: nn.Module) -> nn.Module:
    """The norm after the last block.

    Raises:
        InputError: none that is known.
    """
    for depth in (0, 1):  # the shallowest: SigLIP's pooling head has a norm of its own
        found = {name.rpartition(".")[2]: child for name, child in model.named_modules() if name.count(".") == depth}
        for name in FINAL_NORMS:
            if name in found:
                return found[name]
    raise InputError(f"{type(model).__name__} has no final norm that is known; set features.norm to false")


def frames_read(config: Any) -> int | None:
    """How many frames the encoder reads at once; None for an encoder of single pictures (or of no pictures)."""
    return next((int(getattr(config, name)) for name in FRAME_COUNTS if getattr(config, name, None)), None)


def patch_count(model: Any, media: Mapping[str, Tensor], sequence: int) -> int:
    """How many of the `sequence` tokens are patches: computed from the media, so registers and [CLS] do not count."""
    patch = getattr(model.config, "patch_size", None)
    pixels = media.get("pixel_values")
    if patch is None or pixels is None or pixels.dim() != 4:
        return sequence
    rows, columns = (patch, patch) if isinstance(patch, int) else patch
    return (pixels.shape[-2] // rows) * (pixels.shape[-1] // columns)


def kept(model: Any, media: Mapping[str, Tensor], sequence: int) -> Tensor | None:
    """Which of the `sequence` tokens stand for something, (N, S); None where all of them do: padding is not."""
    mask = media.get("attention_mask")
    if mask is None:
        return None
    if mask.shape[1] == sequence:
        return mask.bool()
    shrink = getattr(model, "_get_feature_vector_attention_mask", None)  # wav2vec2's family: samples to frames
    if shrink is None:
        return None
    found: Tensor = shrink(sequence, mask.long())
    return found.bool()


def flat(level: Tensor) -> Tensor:
    """A level of hidden states as (N, S, E); PatchTST's come as (N, channels, patches, E), channel after channel."""
    return level.flatten(1, -2) if level.dim() > 3 else level


def fold_frames(media: Mapping[str, Tensor], config: Any) -> tuple[dict[str, Tensor], int]:
    """Frames (N, F, C, H, W) as single pictures (N * F, C, H, W) for an encoder that reads those; and F (else 1)."""
    pixels = media.get("pixel_values")
    if pixels is None or pixels.dim() != 5 or frames_read(config):
        return dict(media), 1
    return {**media, "pixel_values": pixels.flatten(0, 1)}, pixels.shape[1]


def unfold_frames(features_NVPE: Tensor, frames: int) -> Tensor:
    """Inverse of `fold_frames` on the features: (N * F, V, P, E) to (N, V, F * P, E), frame after frame."""
    if frames == 1:
        return features_NVPE
    return torch.cat(features_NVPE.unflatten(0, (-1, frames)).unbind(1), dim=2)
