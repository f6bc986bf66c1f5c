"""Finds the parts of any Hugging Face decoder that the engine needs. Reads the model, never changes it."""

import inspect
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedModel

from midstream.engine.kinds import KEEPS_ALL, MASKS, OTHER_MASKS, STATEFUL, TWO_MASKS, UNCOUNTED, kinds_of
from midstream.engine.ordinary import CACHE_NAMES, HIDDEN_STATES, PECULIAR, RESTARTS, special
from midstream.errors import InputError


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
        cache_name: what the LM's forward and its output call the cache, or None for an LM that keeps none.
        makes_cache: whether only the LM can make its cache, which is of a class of its own.
        caches_per_layer: how many entries of the cache are a layer's.
        restarts: whether a layer that is given several columns reads them as if it had read nothing before.
        reads_padding: whether the layers are told what is padding; without it, rows must be equally long everywhere.
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
    cache_name: str | None = "past_key_values"
    makes_cache: bool = False
    caches_per_layer: int = 1
    restarts: bool = False
    reads_padding: bool = True

    def width_at(self, layer: int) -> int:
        """Width of what enters at the input of `layer`: OPT-350M embeds into fewer dimensions than its layers have."""
        weight: Any = self.embedding.weight
        return weight.shape[1] if layer == 0 else self.width

    @property
    def counted(self) -> tuple[int, ...]:
        """The layers whose cache has a length."""
        return tuple(layer for layer, kind in enumerate(self.kinds) if kind not in UNCOUNTED)

    def place_in_cache(self, layer: int) -> int:
        """The first entry of the cache that is this layer's."""
        return layer * self.caches_per_layer

    @property
    def stateful(self) -> bool:
        """Whether some layer folds what it has read into a state, out of which padding cannot be masked later."""
        return any(kind in STATEFUL for kind in self.kinds)

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
        if self.kinds[layer] == "hybrid" and "causal_mask" in self.arguments[layer]:
            mask_of |= TWO_MASKS
        made = {
            name: make(
                config=self.config,
                inputs_embeds=hidden_BWD,
                attention_mask=mask_BK,
                past_key_values=cache,
                position_ids=positions_BW,
                layer_idx=self.place_in_cache(layer),
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
    for module in lm.modules():
        for attribute in PECULIAR.keys() & (set(dir(type(module))) | set(vars(module)) | set(module._modules)):
            raise InputError(f"{family} {PECULIAR[attribute]}")
    if "inputs_embeds" not in told:
        raise InputError(f"{family}.forward takes no inputs_embeds, through which tokens join the first layer")
    if not isinstance(lm.get_input_embeddings(), nn.Embedding):
        raise InputError(f"{family} does not embed its text by one table, so a column is more than one word")
    stack, layers = _layers(lm, config)
    if any(getattr(module, "is_decoder", True) is False for module in layers[0].modules()):
        raise InputError(f"{family} attends to later tokens; load it with is_decoder=True in its config")
    if getattr(config, "is_causal", True) is False:
        raise InputError(f"{family} attends to later tokens (is_causal=False in its config)")
    cache_name = next((name for name in CACHE_NAMES if name in told), None)
    arguments = tuple(tuple(inspect.signature(layer.forward).parameters) for layer in layers)
    reads_padding = all("attention_mask" in names for names in arguments)
    kinds = kinds_of(config, len(layers))
    if cache_name != "past_key_values" and getattr(config, "layer_types", None) is None and not reads_padding:
        kinds = ("linear_attention",) * len(layers)
    if unknown := sorted(set(kinds) - set(MASKS)):
        raise InputError(f"{family} has layers of type {unknown}; the engine drives {sorted(MASKS)}")
    if strange := sorted(set().union(*(special(names, config) for names in arguments))):
        raise InputError(f"{family}'s layers also read {strange}, which the engine cannot widen to more tokens")
    if not reads_padding and set(kinds) != {"linear_attention"}:
        raise InputError(f"{family}'s layers take no attention_mask, so the engine cannot widen it")
    if getattr(config, "alibi", False) and not hasattr(stack, "build_alibi_tensor"):
        raise InputError(f"{family} adds alibi biases inside its mask (alibi=True), which the engine cannot widen")
    if getattr(config, "num_kv_shared_layers", 0):
        raise InputError(f"{family} reuses keys of earlier layers (num_kv_shared_layers), which may see other tokens")
    rotaries = [child for child in stack.children() if _takes(child, "position_ids") and not list(child.parameters())]
    if any("position_embeddings" in names for names in arguments) and len(rotaries) > 1:
        raise InputError(f"{family} has {len(rotaries)} rotary modules beside its layers; the engine drives one")
    takes_positions = _told_positions(told, stack)
    places = [child for child in stack.children() if _takes(child, "position_ids") and child not in rotaries[:1]]
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
        cache_name,
        isinstance(lm, GenerationMixin) and not type(lm)._supports_default_dynamic_cache(),  # a bare stack is none
        (getattr(config, "num_hidden_layers", None) or len(layers)) // len(layers),
        any(hasattr(module, part) for layer in layers for module in layer.modules() for part in RESTARTS),
        reads_padding,
    )


def _layers(lm: PreTrainedModel, config: Any) -> tuple[nn.Module, tuple[nn.Module, ...]]:
    """The list of decoder layers, and what holds it; towers for other modalities are not looked at."""
    counts = [getattr(config, name, None) for name in ("num_hidden_layers", "num_layers")]
    for count in filter(None, counts):  # LongCat counts two attentions a layer
        for part in (lm.get_decoder(), lm):
            for module in part.modules() if isinstance(part, nn.Module) else ():
                for child in module.children():
                    if isinstance(child, nn.ModuleList) and len(child) == count and _is_decoder_layer(child[0]):
                        return module, tuple(child)
    raise InputError(
        f"{type(lm).__name__} has no list of decoder layers (num_hidden_layers={counts[0]}) that each take the hidden "
        f"states first"
    )


def _is_decoder_layer(module: nn.Module) -> bool:
    return next(iter(inspect.signature(module.forward).parameters), None) in HIDDEN_STATES


def _takes(module: nn.Module, name: str) -> bool:
    return name in inspect.signature(module.forward).parameters


def _told_positions(told: Any, stack: nn.Module) -> bool:
    """Whether the LM's forward takes position ids, by name or handed through to its stack."""
    through = any(parameter.kind is parameter.VAR_KEYWORD for parameter in told.values())
    return "position_ids" in told or (through and _takes(stack, "position_ids"))


def _first_position(lm: PreTrainedModel) -> int:
    counts_behind = [module for module in lm.modules() if hasattr(module, "create_position_ids_from_input_ids")]
    return counts_behind[0].padding_idx + 1 if counts_behind else 0
