"""Finds the parts of any Hugging Face decoder that the engine needs. Reads the model, never changes it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.masking_utils import create_causal_mask, create_chunked_causal_mask, create_sliding_window_causal_mask

from midstream.errors import InputError

MASKS: dict[str, Callable[..., Any]] = {
    "full_attention": create_causal_mask,
    "sliding_attention": create_sliding_window_causal_mask,
    "chunked_attention": create_chunked_causal_mask,
}
"""Layer types whose mask Transformers builds from a 2-D padding mask."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Where things are in a decoder.

    Args:
        stack: the module that loops over the layers.
        layers: the decoder layers, in order.
        kinds: the attention type of each layer, a key of `MASKS`.
        config: the text config.
        arguments: names of the parameters of a layer's forward, in order.
        rotary: the stack's module that turns position ids into rotary embeddings, or None.
        embedding: the input embedding.
        width: width of the hidden states.
    """

    stack: nn.Module
    layers: tuple[nn.Module, ...]
    kinds: tuple[str, ...]
    config: Any
    arguments: tuple[str, ...]
    rotary: nn.Module | None
    embedding: nn.Module
    width: int

    @property
    def takes_positions(self) -> bool:
        """Whether the LM is told where its columns stand; others count by themselves."""
        return True

    def width_at(self, layer: int) -> int:
        """Width of what enters at the input of `layer`: OPT-350M embeds into fewer dimensions than its layers have."""
        return self.embedding.weight.shape[1] if layer == 0 else self.width  # type: ignore[union-attr,index]

    def measured_layer(self, layer: int) -> int:
        """The layer by whose cache the stack sizes the mask of `layer`: the first that keeps all keys, or does not.

        As `find_first_full_attention_index` and `create_sliding_window_causal_mask` of Transformers do.
        """
        keeps_all = [kind == "full_attention" for kind in self.kinds]
        return keeps_all.index(keeps_all[layer])

    def mask(self, layer: int, hidden_BWD: Tensor, mask_BK: Tensor, cache: Any, positions_BW: Tensor) -> Any:
        """The attention mask of one layer for the sequence it sees, in the form its attention implementation wants."""
        return MASKS[self.kinds[layer]](
            config=self.config,
            inputs_embeds=hidden_BWD,
            attention_mask=mask_BK,
            past_key_values=cache,
            position_ids=positions_BW,
            layer_idx=layer,
        )

    def rotary_embeddings(self, kind: str, hidden_BWD: Tensor, positions_BW: Tensor) -> Any:
        """What the stack passes to a layer of this type for these positions."""
        assert self.rotary is not None
        by_type = "layer_type" in inspect.signature(self.rotary.forward).parameters
        return self.rotary(hidden_BWD, positions_BW, **({"layer_type": kind} if by_type else {}))


def dissect(lm: PreTrainedModel) -> Anatomy:
    """Find the layers, layer types and rotary modules of a causal LM.

    Raises:
        InputError: this decoder cannot be driven by the engine; the message says why.
    """
    family = type(lm).__name__
    config = lm.config.get_text_config(decoder=True)
    stack, layers = _layers(lm, config.num_hidden_layers)
    kinds = _kinds(config, len(layers))
    if unknown := sorted(set(kinds) - set(MASKS)):
        raise InputError(f"{family} has layers of type {unknown}; the engine drives {sorted(MASKS)}")
    arguments = tuple(inspect.signature(layers[0].forward).parameters)
    rotaries = [child for child in stack.children() if _is_rotary(child)]
    if "alibi" in arguments or "position_bias" in arguments:
        raise InputError(f"{family} adds position biases to its attention, which the engine cannot extend yet")
    if "position_ids" not in inspect.signature(lm.forward).parameters:
        raise InputError(f"{family}.forward takes no position_ids, so tokens cannot be given places")
    if "attention_mask" not in arguments:
        raise InputError(f"{family}'s layers take no attention_mask, so the engine cannot widen it")
    if "position_embeddings" in arguments and len(rotaries) != 1:
        raise InputError(f"{family} has {len(rotaries)} rotary modules beside its layers; the engine drives one")
    return Anatomy(
        stack,
        layers,
        kinds,
        config,
        arguments,
        rotaries[0] if rotaries else None,
        lm.get_input_embeddings(),
        config.hidden_size,
    )


def _layers(lm: PreTrainedModel, count: int) -> tuple[nn.Module, tuple[nn.Module, ...]]:
    for module in lm.modules():
        for child in module.children():
            if isinstance(child, nn.ModuleList) and len(child) == count and _is_decoder_layer(child[0]):
                return module, tuple(child)
    raise InputError(f"{type(lm).__name__} has no list of {count} decoder layers that the engine can find")


def _is_decoder_layer(module: nn.Module) -> bool:
    return "hidden_states" in inspect.signature(module.forward).parameters


def _is_rotary(module: nn.Module) -> bool:
    return "position_ids" in inspect.signature(module.forward).parameters and not list(module.parameters())


def _kinds(config: Any, layers: int) -> tuple[str, ...]:
    """The type of each layer, by the rules of Transformers' own `create_masks_for_generate`."""
    if (kinds := getattr(config, "layer_types", None)) is not None:
        return tuple(kinds)
    if getattr(config, "sliding_window", None) is not None:
        return ("sliding_attention",) * layers
    if getattr(config, "attention_chunk_size", None) is not None:
        return ("chunked_attention",) * layers
    return ("full_attention",) * layers
