"""What encoder and connector of one modality cost: run on the meta device, where shapes pass and no numbers do.

They may be any modules, so they are not modelled: PyTorch's own counter watches them. Knows no LM but its width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel

from midstream.connectors import build_connector
from midstream.encoders import FeatureSpec, FrozenEncoder
from midstream.encoders.layouts import frames_read
from midstream.errors import InputError
from midstream.preparing.audio import SECONDS
from midstream.preparing.molecule import LENGTH

SOFT_PROMPT = "soft_prompt"
SAMPLES_PER_SECOND = 16_000
"""Of wav2vec2 and its like, whose configs do not say."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one slot of a modality costs.

    Args:
        slots: of a row.
        tokens: that the connector gives for one slot.
        levels: different outputs of the connector.
        encoder: FLOPs of encoding one slot's media; 0 when features are given.
        forward: FLOPs of the connector.
        backward: FLOPs of the connector's own gradients in a training step.
        encoder_parameters: frozen.
        connector_parameters: trained.
    """

    slots: int
    tokens: int
    levels: int
    encoder: int
    forward: int
    backward: int
    encoder_parameters: int
    connector_parameters: int


def read_part(
    connector: Mapping[str, Any],
    lm_width: int,
    encoder: PreTrainedConfig | None = None,
    features: FeatureSpec | None = None,
    given: tuple[int, int, int] | None = None,
    slots: int = 1,
) -> Part:
    """Run encoder and connector of one slot on the meta device.

    Args:
        connector: its settings, {"kind": ..., options}.
        lm_width: of what enters the LM.
        encoder: config of the frozen encoder, or None for features that are there already.
        features: which of the encoder's features are used.
        given: levels, features and their width, when there is no encoder.
        slots: of a row; learned vectors have one.

    Raises:
        InputError: the encoder's input is of no known shape, or a setting is wrong.
    """
    if connector.get("kind") == SOFT_PROMPT:
        return _soft_prompt(connector, lm_width)
    with torch.device("meta"):
        if encoder is None:
            levels, count, width = given or (1, 1, lm_width)
            outputs, flops, parameters = torch.empty(1, levels, count, width), 0, 0
        else:
            outputs, flops, parameters = _encode(encoder, features or FeatureSpec(), connector.get("times"))
        levels, width = outputs.shape[1], outputs.shape[-1]
        module = build_connector(connector, encoder_width=width, lm_width=lm_width, levels=levels)
        tokens, forward, backward = _watched(module, outputs)
    trained = sum(parameter.numel() for parameter in module.parameters())
    return Part(slots, tokens.shape[2], tokens.shape[1], flops, forward, backward, parameters, trained)


def _soft_prompt(connector: Mapping[str, Any], lm_width: int) -> Part:
    with torch.device("meta"):
        module = build_connector(connector, lm_width=lm_width)
        tokens, forward, backward = _watched(module, 1)
    trained = sum(parameter.numel() for parameter in module.parameters())
    return Part(1, tokens.shape[2], 1, 0, forward, backward, 0, trained)


def _watched(module: torch.nn.Module, inputs: Any) -> tuple[Tensor, int, int]:
    """The output, and FLOPs forward and backward."""
    with FlopCounterMode(display=False) as counter:
        output = module(inputs)
        forward = counter.get_total_flops()
        if output.requires_grad:  # an identity has nothing to learn
            output.sum().backward()
        return output, forward, counter.get_total_flops() - forward


def _encode(config: PreTrainedConfig, features: FeatureSpec, times: int | None) -> tuple[Tensor, int, int]:
    """Features of one item on the meta device, the FLOPs, and the encoder's parameters."""
    encoder = FrozenEncoder(AutoModel.from_config(config, attn_implementation="eager"), features)
    media = example_media(encoder.model, times=times)
    with FlopCounterMode(display=False) as counter:
        output = encoder(**{encoder.input_name: media})
    return output, counter.get_total_flops(), sum(parameter.numel() for parameter in encoder.parameters())


def example_media(
    encoder: PreTrainedModel, device: str = "meta", dtype: torch.dtype = torch.float32, times: int | None = None
) -> Tensor:
    """One item of what `encoder` reads, of the size that its config says.

    Args:
        times: frames of a clip, for an encoder of single pictures whose connector sees time.

    Raises:
        InputError: the config does not say.
    """
    config: Any = getattr(encoder.config, "vision_config", encoder.config)
    size, frames = _pair(getattr(config, "image_size", None)), frames_read(config) or times
    channels, bins = getattr(config, "num_channels", 3), getattr(config, "num_mel_bins", None)
    reads = encoder.main_input_name
    shape: tuple[int, ...]
    if reads == "pixel_values" and size:
        shape = (1, *((frames,) if frames else ()), channels, *size)
    elif reads == "input_values" and bins:
        shape = (1, config.max_length, bins)
    elif reads == "input_values":  # samples
        shape = (1, round(SECONDS * SAMPLES_PER_SECOND))
    elif reads == "input_features" and hasattr(config, "max_source_positions"):  # Whisper: a convolution of stride 2
        shape = (1, int(bins or 80), 2 * config.max_source_positions)
    elif reads == "input_ids":
        places = config.max_position_embeddings - 2  # RoBERTa numbers positions from 2
        return torch.zeros((1, min(LENGTH, places)), device=device, dtype=torch.long)
    elif reads == "past_values":
        shape = (1, config.context_length, config.num_input_channels)
    else:
        raise InputError(
            f"the size of what a {config.model_type} encoder reads is not in its config; leave the encoder out and "
            "say how many tokens it gives"
        )
    return torch.zeros(shape, device=device, dtype=dtype)


def _pair(size: Any) -> tuple[int, int] | None:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping):
        return int(size["height"]), int(size["width"])
    return (int(size[0]), int(size[1])) if size else None
