"""Finds the parts of any Hugging Face decoder that the engine needs. Reads the model, never changes it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.masking_utils import (
    LAYER_PATTERN_TO_MASK_FUNCTION_MAPPING,
    create_causal_mask,
    create_recurrent_attention_mask,
    create_sliding_window_causal_mask,
)

from midstream.engine.ordinary import BLOCK_SPARSE, HIDDEN_STATES, ORDINARY
from midstream.errors import InputError


def _no_mask(**_: Any) -> None:
    return None


Mask = Callable[..., Any]

MASKS: dict[str, Mask] = {
    **{kind: mask for kind, mask in LAYER_PATTERN_TO_MASK_FUNCTION_MAPPING.items() if callable(mask)},
    "hybrid": create_causal_mask,
    "hybrid_sliding": create_sliding_window_causal_mask,
    "mlp": _no_mask,
    "moe": _no_mask,
}
"""Layer type -> how Transformers builds its `attention_mask` from a 2-D padding mask."""

OTHER_MASKS: dict[str, Mask] = {
    "mamba_attention_mask": create_recurrent_attention_mask,
    "conv_mask": create_recurrent_attention_mask,
}
"""Other arguments of a layer's forward that hold a mask, whatever the layer's type."""


UNCOUNTED = frozenset(kind for kind, mask in MASKS.items() if mask in (create_recurrent_attention_mask, _no_mask))
"""Layer types that keep a state or nothing: their cache has no length."""

KEEPS_ALL = frozenset({"full_attention", "indexed_attention", "minimax_m3_sparse", "hybrid"})
"""Layer types whose cache holds every key; the others that are counted keep a window."""


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Where things are in a decoder.

    Args:
        stack: the module that loops over the layers.
        layers: the decoder layers, in order.
        kinds: the attention type of each layer, a key of `MASKS`.
        config: the text config.
        arguments: for each layer, names of the parameters of its forward, in order; the hidden states come first.
        rotary: the stack's module that turns position ids into rotary embeddings, or None.
        places: the stack's module that embeds position ids, where the LM's forward is not told them; or None.
        takes_positions: whether the LM's forward is told position ids.
        first_position: the id of the first of them; RoBERTa and its kin count from behind the padding's.
        embedding: the input embedding.
        width: width of the hidden states.
    """

    stack: nn.Module
    layers: tuple[nn.Module, ...]
    kinds: tuple[str, ...]
    config: Any
    arguments: tuple[tuple[str, ...], ...]
    rotary: nn.Module | None
    places: nn.Module | None
    takes_positions: bool
    first_position: int
    embedding: nn.Module
    width: int

    def width_at(self, layer: int) -> int:
        """Width of what enters at the input of `layer`: OPT-350M embeds into fewer dimensions than its layers have."""
        weight: Any = self.embedding.weight
        return weight.shape[1] if layer == 0 else self.width

    @property
    def counted(self) -> tuple[int, ...]:
        """The layers whose cache has a length."""
        return tuple(layer for layer, kind in enumerate(self.kinds) if kind not in UNCOUNTED)

    def measured_layer(self, layer: int) -> int:
        """The layer by whose cache the stack sizes the mask of `layer`: the first that keeps all keys, or does not.

        As `find_first_full_attention_index` and `create_sliding_window_causal_mask` of Transformers do.
        """
        if layer not in self.counted:
            return layer
        keeps_all = self.kinds[layer] in KEEPS_ALL
        return next(other for other in self.counted if (self.kinds[other] in KEEPS_ALL) == keeps_all)

    def masks(
        self, layer: int, hidden_BWD: Tensor, mask_BK: Tensor, cache: Any, positions_BW: Tensor
    ) -> dict[str, Any]:
        """The mask arguments of one layer for the sequence it sees, in the form its attention implementation wants."""
        mask_of = {"attention_mask": MASKS[self.kinds[layer]]} | OTHER_MASKS
        made = {
            name: make(
                config=self.config,
                inputs_embeds=hidden_BWD,
                attention_mask=mask_BK,
                past_key_values=cache,
                position_ids=positions_BW,
                layer_idx=layer,
            )
            for name, make in mask_of.items()
            if name in self.arguments[layer]
        }
        if "alibi" in self.arguments[layer] and hasattr(self.stack, "build_alibi_tensor"):
            heads, stack = self.config.num_attention_heads, cast(Any, self.stack)
            made["alibi"] = stack.build_alibi_tensor(mask_BK.long(), heads, dtype=hidden_BWD.dtype)
        return made

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
    told = inspect.signature(lm.forward).parameters
    if missing := [name for name in ("inputs_embeds", "past_key_values", "attention_mask") if name not in told]:
        raise InputError(f"{family}.forward takes no {' and no '.join(missing)}, which the engine works through")
    stack, layers = _layers(lm, getattr(config, "num_hidden_layers", None))
    if any(getattr(module, "is_decoder", True) is False for module in layers[0].modules()):
        raise InputError(f"{family} attends to later tokens; load it with is_decoder=True in its config")
    kinds = _kinds(config, len(layers))
    if unknown := sorted(set(kinds) - set(MASKS)):
        raise InputError(f"{family} has layers of type {unknown}; the engine drives {sorted(MASKS)}")
    arguments = tuple(tuple(inspect.signature(layer.forward).parameters) for layer in layers)
    ordinary = ORDINARY | (BLOCK_SPARSE if getattr(config, "attention_type", None) == "original_full" else frozenset())
    if special := sorted({name for names in arguments for name in names[1:]} - ordinary):
        raise InputError(f"{family}'s layers also read {special}, which the engine cannot widen to more tokens")
    if not all("attention_mask" in names for names in arguments):
        raise InputError(f"{family}'s layers take no attention_mask, so the engine cannot widen it")
    if getattr(config, "alibi", False) and not hasattr(stack, "build_alibi_tensor"):
        raise InputError(f"{family} adds alibi biases inside its mask (alibi=True), which the engine cannot widen")
    if skipped := getattr(config, "cross_attention_layers", None):
        raise InputError(f"{family} skips its layers {list(skipped)} without an image; nothing can join there")
    if getattr(config, "num_kv_shared_layers", 0):
        raise InputError(f"{family} reuses keys of earlier layers (num_kv_shared_layers), which may see other tokens")
    rotaries = [child for child in stack.children() if _takes(child, "position_ids") and not list(child.parameters())]
    if any("position_embeddings" in names for names in arguments) and len(rotaries) > 1:
        raise InputError(f"{family} has {len(rotaries)} rotary modules beside its layers; the engine drives one")
    takes_positions = "position_ids" in told
    places = [child for child in stack.children() if _takes(child, "position_ids")]
    return Anatomy(
        stack,
        layers,
        kinds,
        config,
        arguments,
        rotaries[0] if rotaries else None,
        places[0] if places and not takes_positions else None,
        takes_positions,
        _first_position(lm),
        lm.get_input_embeddings(),
        config.hidden_size,
    )


def _layers(lm: PreTrainedModel, count: int | None) -> tuple[nn.Module, tuple[nn.Module, ...]]:
    """The list of decoder layers, and what holds it; towers for other modalities are not looked at."""
    for part in (lm.get_decoder(), lm):
        for module in part.modules() if isinstance(part, nn.Module) else ():
            for child in module.children():
                if isinstance(child, nn.ModuleList) and len(child) == count and _is_decoder_layer(child[0]):
                    return module, tuple(child)
    raise InputError(f"{type(lm).__name__} has no list of {count} decoder layers that the engine can find")


def _is_decoder_layer(module: nn.Module) -> bool:
    return next(iter(inspect.signature(module.forward).parameters), None) in HIDDEN_STATES


def _takes(module: nn.Module, name: str) -> bool:
    return name in inspect.signature(module.forward).parameters


def _first_position(lm: PreTrainedModel) -> int:
    counts_behind = [module for module in lm.modules() if hasattr(module, "create_position_ids_from_input_ids")]
    return counts_behind[0].padding_idx + 1 if counts_behind else 0


def _kinds(config: Any, layers: int) -> tuple[str, ...]:
    """The type of each layer, by the rules of Transformers' own `create_masks_for_generate`."""
    if (kinds := getattr(config, "layer_types", None)) is not None:
        return tuple(kinds)
    if getattr(config, "sliding_window", None) is not None:
        return ("sliding_attention",) * layers
    if getattr(config, "attention_chunk_size", None) is not None:
        return ("chunked_attention",) * layers
    return ("full_attention",) * layers
