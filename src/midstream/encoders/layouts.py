"""What stands where in the output of an encoder's family: the wanted tower, the final norm, [CLS], patches, padding.

One function a question, so that a new family is an entry here and nothing else. Shapes: N items, S tokens, E width.
"""

import inspect
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
    # Post-norm wav2vec2 and HuBERT have a norm of that name before their first block instead.
    if getattr(getattr(model, "config", None), "do_stable_layer_norm", True) is False:
        raise InputError(f"{type(model).__name__} has no norm after its last block; set features.norm to false")
    for depth in (0, 1):  # the shallowest: SigLIP's pooling head has a norm of its own
        found = {
            name.rpartition(".")[2]: child
            for name, child in model.named_modules()
            if name.count(".") == depth and not name.startswith("predictor.")  # V-JEPA 2's own
        }
        for name in FINAL_NORMS:
            if name in found:
                return found[name]
    raise InputError(f"{type(model).__name__} has no final norm that is known; set features.norm to false")


def is_pyramid(config: Any) -> bool:
    """Whether stages differ in width and in tokens (CLAP's audio tower, Swin): only the last one is a level here."""
    return bool(getattr(config, "depths", None))


def inputs_of(model: Any, media: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the model itself is given: AST's mask only says what padding is, it was trained to see silence there.

    V-JEPA 2 is told to leave its predictor out: what it foresees is no feature.
    """
    hears_silence = getattr(model.config, "time_stride", None) is not None
    given: dict[str, Any] = {k: v for k, v in media.items() if not (hears_silence and k == "attention_mask")}
    return given | ({"skip_predictor": True} if "skip_predictor" in inspect.signature(model.forward).parameters else {})


def frames_read(config: Any) -> int | None:
    """How many frames the encoder reads at once; None for an encoder of single pictures (or of no pictures)."""
    return next((int(getattr(config, name)) for name in FRAME_COUNTS if getattr(config, name, None)), None)


def patch_count(model: Any, media: Mapping[str, Tensor], sequence: int) -> int:
    """How many of the `sequence` tokens are patches: computed from the media, so registers and [CLS] do not count."""
    if getattr(model.config, "time_stride", None) is not None:
        bands, times = spectrogram_grid(model.config)
        return bands * times
    patch, tubelet = getattr(model.config, "patch_size", None), getattr(model.config, "tubelet_size", 1)
    if not isinstance(tubelet, int):  # ViViT's says it all: frames, rows, columns
        tubelet, *patch = tubelet
    pixels = media.get("pixel_values", media.get("pixel_values_videos"))
    if patch is None or pixels is None or pixels.dim() not in (4, 5):
        return sequence
    rows, columns = (patch, patch) if isinstance(patch, int) else patch
    steps = pixels.shape[1] // tubelet if pixels.dim() == 5 else 1
    return steps * (pixels.shape[-2] // rows) * (pixels.shape[-1] // columns)


def time_first(model: Any, patches_NPE: Tensor) -> Tensor:
    """Patches of a video, step after step; TimeSformer's come patch after patch, each through all frames."""
    if model.config.model_type != "timesformer":
        return patches_NPE
    return patches_NPE.unflatten(1, (-1, model.config.num_frames)).transpose(1, 2).flatten(1, 2)


def spectrogram_grid(config: Any) -> tuple[int, int]:
    """Bands and times of AST's patches, which may overlap; tokens come band by band."""
    bands = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
    return bands, (config.max_length - config.patch_size) // config.time_stride + 1


def kept(model: Any, media: Mapping[str, Tensor], sequence: int) -> Tensor | None:
    """Which of the `sequence` tokens stand for something, (N, S); None where all of them do: padding is not."""
    mask = media.get("attention_mask")
    if mask is None:
        return None
    if mask.shape[1] == sequence:
        return mask.bool()
    config = model.config
    if getattr(config, "time_stride", None) is not None:  # AST: frames of a spectrogram to patches, band after band
        bands, _ = spectrogram_grid(config)
        patches = mask.bool().unfold(1, config.patch_size, config.time_stride).any(-1).repeat(1, bands)
        return torch.cat([patches.new_ones(len(mask), sequence - patches.shape[1]), patches], dim=1)
    if mask.shape[1] == 2 * sequence:  # Whisper: two frames of a spectrogram to one token
        return mask.bool().unflatten(1, (sequence, 2)).any(-1)
    shrink = getattr(model, "_get_feature_vector_attention_mask", None)  # wav2vec2's family: samples to frames
    if shrink is None:
        return None
    found: Tensor = shrink(sequence, mask.long())
    return found.bool()


def state(output: Any, layer: int, depth: int) -> Tensor:
    """Hidden state `layer` of `depth` blocks: 0 the embedding output, -1 or `depth` the last block's.

    Two families return one state less: PatchTST leaves out the last block's, PatchTSMixer the embedding output.

    Raises:
        InputError: the one that is left out.
    """
    states = output.hidden_states
    if len(states) == depth:
        has_last = states[-1] is output.last_hidden_state
        states = (None, *states) if has_last else (*states, output.last_hidden_state)
    found: Tensor | None = states[layer]
    if found is None:
        raise InputError(f"features.layers names {layer}, the embedding output, which this encoder does not return")
    return found


def flat(level: Tensor, config: Any) -> Tensor:
    """A level of hidden states as (N, S, E).

    PatchTST's come as (N, channels, patches, E), channel after channel; CLAP's as (N, E, bands, times), band by band.
    """
    if level.dim() == 3:
        return level
    if is_pyramid(config):
        return level.flatten(2).transpose(1, 2)
    return level.flatten(1, -2)


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
