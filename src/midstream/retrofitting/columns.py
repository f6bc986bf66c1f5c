"""Splits a sequence with media in it into text and slots, and puts it together again. Knows no model.

Shapes: B rows, W merged columns, T text columns, S slots, K tokens a slot, U items (text, then tokens), D width.
A slot is a run of columns that hold the same media token. With media at columns 2..4 of the first row:

    merged   t0 t1 i0 i1 i2 t2        text   t0 t1 t2       slot before text column 2
             t0 t1 t2 t3 t4 t5               t0 .. t5
    texts of different length are filled up at the left, so the first row's text is  -- -- -- t0 t1 t2
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from midstream.errors import InputError


@dataclass(frozen=True, slots=True)
class Columns:
    """Where text and tokens of one call stand in its merged sequence.

    Args:
        media_BW: True at media.
        text_BT: the merged column of each text column; 0 where the row has none.
        present_BT: False where the row has none.
        tokens_BSK: the merged column of each token; 0 where the slot has none.
        filled_BSK: False where the slot has none.
        slots_BS: the text column before which each slot stands; -1 for none.
    """

    media_BW: Tensor
    text_BT: Tensor
    present_BT: Tensor
    tokens_BSK: Tensor
    filled_BSK: Tensor
    slots_BS: Tensor

    @property
    def items(self) -> Tensor:
        """The merged column of every item, (B, U)."""
        return torch.cat([self.text_BT, self.tokens_BSK.flatten(1)], dim=1)

    @property
    def holds_media(self) -> bool:
        """Whether there is any token."""
        return self.tokens_BSK.numel() > 0

    def rows(self, merged_BWD: Tensor) -> tuple[Tensor, Tensor]:
        """What stands at the text columns, (B, T, D), and at the tokens, (B, S, K, D)."""
        width = merged_BWD.shape[-1]
        both = merged_BWD.gather(1, self.items[..., None].expand(-1, -1, width))
        text, tokens = both.split([self.text_BT.shape[1], self.tokens_BSK[0].numel()], dim=1)
        return text, tokens.reshape(*self.tokens_BSK.shape, width)

    def merged(self, text_BTD: Tensor) -> Tensor:
        """The text's states at their merged columns, and zeros at media, (B, W, D)."""
        if not self.holds_media:
            return text_BTD
        rank_BW = _rank(self.media_BW, self.text_BT.shape[1])
        states = text_BTD.gather(1, rank_BW.clamp(min=0)[..., None].expand(-1, -1, text_BTD.shape[-1]))
        return states.masked_fill(self.media_BW[..., None], 0)


def columns_of(media_BW: Tensor, ids_BW: Tensor | None, mask_BW: Tensor) -> Columns:
    """Split a merged sequence.

    Args:
        media_BW: True at media.
        ids_BW: where the id changes another slot begins; None when there are no media.
        mask_BW: False at padding.

    Raises:
        InputError: a row ends with media.
    """
    texts_B1 = (~media_BW).sum(1, keepdim=True)
    count = int(texts_B1.max())
    order = media_BW.long().argsort(dim=1, stable=True)
    index = torch.arange(count, device=media_BW.device) - (count - texts_B1)
    text_BT = order.gather(1, index.clamp(min=0)) * (index >= 0)
    if ids_BW is None:
        nothing = text_BT.new_zeros((len(text_BT), 0, 0))
        return Columns(media_BW, text_BT, index >= 0, nothing, nothing.bool(), text_BT[:, :0])
    start_BW = media_BW.clone()
    start_BW[:, 1:] &= ~(media_BW[:, :-1] & (ids_BW[:, 1:] == ids_BW[:, :-1]))
    run_BW = start_BW.long().cumsum(1) - 1
    column_BW = torch.arange(media_BW.shape[1], device=media_BW.device).expand_as(run_BW)
    within_BW = column_BW - column_BW.where(start_BW, -1).cummax(1).values
    rows, found = media_BW.nonzero(as_tuple=True)
    places = rows, run_BW[rows, found], within_BW[rows, found]
    shape = len(media_BW), int(places[1].max()) + 1, int(places[2].max()) + 1
    tokens_BSK, filled_BSK = text_BT.new_zeros(shape), media_BW.new_zeros(shape)
    tokens_BSK[places], filled_BSK[places] = found, mask_BW[rows, found]
    rows, found = start_BW.nonzero(as_tuple=True)
    slots_BS = text_BT.new_full(shape[:2], -1)
    slots_BS[rows, run_BW[rows, found]] = (_rank(media_BW, count) + 1)[rows, found]
    if bool((slots_BS == count).any()):
        row = int((slots_BS == count).any(1).nonzero()[0])
        raise InputError(f"row {row} of the prompt ends with media; text must follow, or nothing reads their tokens")
    return Columns(media_BW, text_BT, index >= 0, tokens_BSK, filled_BSK, slots_BS)


def _rank(media_BW: Tensor, count: int) -> Tensor:
    """The last text column at or before each merged column, texts filled up at the left to `count`, (B, W)."""
    text_BW = (~media_BW).long()
    return text_BW.cumsum(1) - 1 + count - text_BW.sum(1, keepdim=True)


def masks_made(given: object, kinds: tuple[str, ...]) -> Mapping[str, Tensor]:
    """The masks with a row for each column, (B, 1, W, past + W), that a model made by itself: layer type -> mask.

    Args:
        given: one for all layers, or layer type -> mask; anything else is none.
        kinds: the layer types.
    """
    masks = given if isinstance(given, Mapping) else dict.fromkeys(kinds, given)
    return {kind: mask for kind, mask in masks.items() if isinstance(mask, Tensor) and mask.dim() == 4}


def reads_of(masks: Mapping[str, Tensor], columns: Columns, mask_BW: Tensor) -> Mapping[str, Tensor] | None:
    """Who reads whom among the items of a call, layer type -> (B, U, U), by masks that a model made for it.

    Args:
        mask_BW: False at padding.

    Returns:
        None when the masks let no column read a later one: they are causal, and the engine makes its own.

    Raises:
        InputError: a mask of a full layer hides what stands before, which the engine would show.
    """
    width, items = columns.media_BW.shape[1], columns.items
    blocks = {kind: mask[:, 0, :, -width:].expand(len(items), -1, -1) for kind, mask in masks.items()}
    allowed = {kind: block if block.dtype == torch.bool else block >= 0 for kind, block in blocks.items()}
    both = mask_BW[:, :, None] & mask_BW[:, None]
    if "full_attention" in allowed and bool((both & ~allowed["full_attention"]).tril().any()):
        raise InputError("the model hides columns from later ones by a mask of its own, which retrofit cannot follow")
    if not any(bool(block.triu(1).any()) for block in allowed.values()):
        return None
    rows, places = items[:, :, None], items[:, None]
    return {
        kind: block.gather(1, rows.expand(-1, -1, width)).gather(2, places.expand(-1, items.shape[1], -1))
        for kind, block in allowed.items()
    }
