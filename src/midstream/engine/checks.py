"""What the engine refuses, in words: routings that a layer cannot follow, inputs that do not fit each other."""

from collections.abc import Mapping

import torch
from torch import Tensor

from midstream.engine.anatomy import UNCOUNTED, Anatomy
from midstream.engine.call import Call
from midstream.engine.masks import IMPLEMENTATIONS
from midstream.engine.placement import Cargo
from midstream.engine.reading import CACHE_NAMES
from midstream.errors import InputError
from midstream.schedule import Schedule

KEYS_ALONE = frozenset({"full_attention", "sliding_attention", "chunked_attention"})
"""Layer types that keep keys and values of a token and nothing else: no index of keys, no state of a convolution."""

OWN_WINDOW = "local"
"""`attention_type` of a module that reads a window which the mask does not tell of (GPT-Neo)."""


def text_mask(attention_mask: Tensor | None, text: Tensor, past: int) -> Tensor:
    """The padding mask over past and new text columns, (B, past + T).

    Raises:
        InputError: it does not cover both.
    """
    if attention_mask is None:
        return torch.ones(text.shape[0], past + text.shape[1], dtype=torch.bool, device=text.device)
    if attention_mask.shape[1] != past + text.shape[1]:
        raise InputError(
            f"attention_mask has {attention_mask.shape[1]} columns, but the cache holds {past} text columns and "
            f"{text.shape[1]} are new; it must cover both"
        )
    return attention_mask.bool()


def check_slots(cargo: dict[str, Cargo], text_mask_BK: Tensor) -> None:
    """Refuse slots outside the text.

    Raises:
        InputError: naming the column or the number of rows.
    """
    rows, columns = text_mask_BK.shape
    for name, load in cargo.items():
        if load.slots_BS.shape[0] != rows:
            raise InputError(f"{name}_slots has {load.slots_BS.shape[0]} rows, but the text has {rows}")
        if load.count and int(load.slots_BS.max()) >= columns:
            raise InputError(
                f"{name}_slots names column {int(load.slots_BS.max())}, but the text has columns 0..{columns - 1}; "
                f"text must follow a slot, or nothing reads its tokens"
            )


def check_routing(anatomy: Anatomy, schedules: Mapping[str, Schedule]) -> None:
    """Refuse what a layer cannot do.

    Raises:
        InputError: tokens are to be read, or chosen by attention, in a layer whose keys cannot be had alone.
    """
    for name, schedule in schedules.items():
        asked = {at: "chosen by attention" for keep in schedule.keeps if (at := keep.looks_at) is not None}
        for layer, what in (dict.fromkeys(schedule.readable, "read") | asked).items():
            if (reason := _unreadable(anatomy, layer)) is not None:
                raise InputError(
                    f"the tokens of {name} are to be {what} in layer {layer}, which {reason}; "
                    f"make it active or parked there, or keep by norm"
                )


def _unreadable(anatomy: Anatomy, layer: int) -> str | None:
    """Why keys and values of single tokens cannot be had of a layer; None when they can."""
    kind, module = anatomy.kinds[layer], anatomy.layers[layer]
    if kind in UNCOUNTED:
        return f"is of type {kind} and has no keys"
    if kind not in KEYS_ALONE:
        return f"is of type {kind} and keeps more of a token than keys and values"
    if not set(anatomy.arguments[layer]) & set(CACHE_NAMES):
        return "takes no cache, through which keys are had"
    if any(getattr(part, "attention_type", None) == OWN_WINDOW for part in module.modules()):
        return "cuts its own window by counting queries from the end"
    return None


def check_call(anatomy: Anatomy, schedules: Mapping[str, Schedule], call: Call) -> None:
    """Refuse what these tokens cannot do in this call.

    Raises:
        InputError: a mask that needs a row for each query meets an attention implementation without such masks, or
            tokens that read later text meet a cache, which has no later text.
    """
    implementation = anatomy.config._attn_implementation
    for name in call.cargo:
        schedule = schedules[name]
        asked = any(keep.looks_at is not None for keep in schedule.keeps)
        rows = schedule.readable or asked or schedule.reach != "causal" or call.opens
        if rows and implementation not in IMPLEMENTATIONS:
            raise InputError(
                f"the schedule of {name} needs attention whose masks have a row for each query; the LM was loaded with "
                f"attn_implementation={implementation!r}, choose one of {list(IMPLEMENTATIONS)}"
            )
        if call.cache is not None and schedule.reach == "all":
            raise InputError(
                f"reach='all' lets the tokens of {name} read text that is not there yet; generate with use_cache=False"
            )
