"""Masks for layers with fewer queries than keys, and for tokens that read more than what stands before them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from midstream.engine.call import Call
from midstream.engine.placement import Group
from midstream.schedule import Schedule

IMPLEMENTATIONS = ("eager", "sdpa")
"""Attention implementations whose masks have a row for each query and a column for each key."""


def rows_of(mask_B1WK: Tensor | None, rows_BQ: Tensor, keys: int, width: int) -> Tensor:
    """The rows of a causal mask for some of the queries, (B, 1, Q, K).

    Args:
        mask_B1WK: or None for the plain causal one, which attention kernels know by themselves.
        rows_BQ: which of the W queries.
        keys: K, past ones included.
        width: W.
    """
    if mask_B1WK is None:
        places = torch.arange(keys, device=rows_BQ.device)
        return (places <= rows_BQ[..., None] + keys - width)[:, None]
    return mask_B1WK.gather(2, rows_BQ[:, None, :, None].expand(-1, -1, -1, mask_B1WK.shape[-1]))


def opened(call: Call, seen: Group, schedules: Mapping[str, Schedule], kind: str, mask_B1WK: Tensor | None) -> Tensor:
    """The causal mask of a layer of type `kind`, where tokens also read what their schedule's `reach` says.

    And whatever stands there what a model around the LM lets it read.
    """
    layout, total = call.layout(seen), call.mask(seen).shape[1]
    items, slots = layout.items_BW, call.items.slot_U[layout.items_BW]
    if mask_B1WK is None:
        mask_B1WK = rows_of(None, torch.arange(layout.width, device=items.device).expand_as(items), total, layout.width)
    extra = torch.zeros(*items.shape, layout.width, dtype=torch.bool, device=items.device)
    if call.outer is not None and (read := call.outer.read(kind, items)) is not None:
        extra |= read
    for name, _ in seen:
        if name in call.cargo and (reach := schedules[name].reach) != "causal":
            first, last = call.items.ranges[name]
            row = ((items >= first) & (items < last))[..., None]
            extra |= row & (slots[:, :, None] == slots[:, None]) if reach == "slot" else row
    extra &= layout.valid_BW[:, None]
    start = min(total, mask_B1WK.shape[-1]) - layout.width
    extra = nn.functional.pad(extra, (start, mask_B1WK.shape[-1] - start - layout.width))[:, None]
    return mask_B1WK | extra if mask_B1WK.dtype == torch.bool else mask_B1WK.masked_fill(extra, 0.0)
