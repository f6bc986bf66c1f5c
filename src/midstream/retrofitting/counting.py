"""What counts merged columns: the padding mask, position ids, and caches. Knows no schedule.

Inside a retrofit the layers of a cache hold what lives there, so they differ. The model and `generate` count the
columns that they know, merged ones, and ask the cache without naming a layer; then it answers with those.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from midstream.errors import InputError
from midstream.retrofitting.columns import Columns

_NUMBERS = count()
_IN_FORCE: set[int] = set()
"""The numbers of the retrofits that have been entered and not left."""


@contextmanager
def in_force() -> Iterator[int]:
    """A number for one retrofit, for as long as it lasts; caches carry it (through deep copies, too)."""
    number = next(_NUMBERS)
    _IN_FORCE.add(number)
    try:
        yield number
    finally:
        _IN_FORCE.discard(number)


def merged_mask(attention_mask: Any, merged_BWD: Tensor, past: int) -> Tensor:
    """The padding mask over past and new merged columns, (B, past + W).

    Raises:
        InputError: it is none, or covers something else.
    """
    rows, width = merged_BWD.shape[:2]
    if attention_mask is None:
        return torch.ones(rows, past + width, dtype=torch.bool, device=merged_BWD.device)
    if not isinstance(attention_mask, Tensor) or attention_mask.dim() != 2:
        raise InputError(
            "retrofit needs the 2-D attention_mask, from which it makes a mask for each layer; a static cache comes "
            "with another, so generate without cache_implementation"
        )
    if attention_mask.shape[1] != past + width:
        raise InputError(
            f"attention_mask has {attention_mask.shape[1]} columns, but the cache holds {past} and {width} are new; "
            f"it must cover both"
        )
    return attention_mask.bool()


def positions_of_items(ids: Tensor | None, columns: Columns, past: int) -> Tensor:
    """The position ids of all items, (R, B, U), by those that the model made for merged columns.

    Args:
        ids: (B, W) or (R, B, W); None when the text model would count by itself.
    """
    rows, width = columns.media_BW.shape
    if ids is None:
        ids = torch.arange(past, past + width, device=columns.media_BW.device)[None]
    ids_RBW = (ids if ids.dim() == 3 else ids[None])[..., -width:].expand(-1, rows, -1)
    return ids_RBW.gather(2, columns.items.expand(len(ids_RBW), -1, -1))


def count_merged(cache: Any, columns: int, number: int) -> None:
    """Let `cache` answer with merged columns when it is not asked for one layer.

    Args:
        columns: how many it holds now.
        number: of the retrofit that filled it.
    """
    cache.midstream_surplus = columns - int(type(cache).get_seq_length(cache))
    cache.midstream_retrofit = number
    cache.get_seq_length = MethodType(_merged_length, cache)


def _merged_length(cache: Any, layer_idx: int | None = None) -> int:
    if cache.midstream_retrofit not in _IN_FORCE:
        raise InputError(
            "this cache was filled inside a retrofit that has been left; its layers hold different tokens, so start "
            "again with an empty cache"
        )
    if layer_idx is not None:
        return int(type(cache).get_seq_length(cache, layer_idx))
    return int(type(cache).get_seq_length(cache)) + int(cache.midstream_surplus)
