"""Which item stands where: slots to index maps, positions and key masks. Pure tensor arithmetic; knows no model.

Shapes: B rows, T text columns of this call, S slots, K tokens a slot, V levels, D width, U items, W merged length.

The items of a call are its text columns followed by the tokens of each modality: `[text T | image S*K | audio S*K]`.
A *layout* says which items a layer sees, in order. With one slot before text column 2 and K = 3:

    text layout        t0 t1 t2 t3
    merged layout      t0 t1 i0 i1 i2 t2 t3

Items that a row lacks (a text-only row in a mixed batch) stand at its left and are masked, as left padding is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

Member = tuple[str, int]
"""A modality, and how many times tokens of it have been dropped."""

Group = tuple[Member, ...]
"""The modalities in a sequence, in order; () is text alone."""


@dataclass(frozen=True, slots=True)
class Cargo:
    """The tokens of one modality in one call.

    Args:
        slots_BS: the text column before which each slot stands, counted from the very start of the text; -1 for none.
        tokens_BSVKD: what the connector made, one level for each different write.
        filled_BSK: False where a slot holds fewer than K tokens; None when all hold K.
    """

    slots_BS: Tensor
    tokens_BSVKD: Tensor
    filled_BSK: Tensor | None = None

    @property
    def count(self) -> int:
        """Tokens a row can hold: S * K."""
        return self.slots_BS.shape[1] * self.tokens_BSVKD.shape[3]

    def level(self, level: int) -> Tensor:
        """The tokens of one level, (B, S*K, D)."""
        return self.tokens_BSVKD[:, :, level].flatten(1, 2)

    def lengths(self) -> int | Tensor:
        """Tokens in each slot: one number for all, or (B, S, 1)."""
        return self.tokens_BSVKD.shape[3] if self.filled_BSK is None else self.filled_BSK.sum(2, keepdim=True)


@dataclass(frozen=True, slots=True)
class Layout:
    """The sequence one group of layers sees.

    Args:
        items_BW: which item stands at each place.
        places_BU: where each item stands; -1 when it does not.
        valid_BW: False for padding.
    """

    items_BW: Tensor
    places_BU: Tensor
    valid_BW: Tensor

    @property
    def width(self) -> int:
        """W, how many places there are."""
        return self.items_BW.shape[1]


class Items:
    """All items of one call with their order, validity and text column.

    Args:
        text_valid_BT: False at the padding of this call's text.
        cargo: modality name -> tokens, in the order that breaks ties between slots at the same column.
        start: text columns that earlier calls already hold in the cache.
        present_BT: False at columns that a row lacks, as it lacks tokens; None when there are none.
    """

    def __init__(
        self, text_valid_BT: Tensor, cargo: dict[str, Cargo], start: int, present_BT: Tensor | None = None
    ) -> None:
        rows, self.text_length = text_valid_BT.shape
        device = text_valid_BT.device
        columns = torch.arange(self.text_length, device=device).expand(rows, -1)
        text_keys = 2 * columns + 1
        keys, valid, column_of = [text_keys], [text_valid_BT], [columns]
        if present_BT is not None:
            keys, valid = [text_keys.where(present_BT, -1)], [text_valid_BT & present_BT]
        slot_of, slots = [torch.full_like(columns[:1], -1)], 0
        self.kept: dict[Member, Tensor] = {}
        self.ranges: dict[str, tuple[int, int]] = {}
        first = self.text_length
        for name, load in cargo.items():
            tokens_per_slot = load.tokens_BSVKD.shape[3]
            local_BS = load.slots_BS.to(device) - start
            enters_BS = (load.slots_BS.to(device) >= 0) & (local_BS >= 0) & (local_BS < self.text_length)
            local = local_BS.repeat_interleave(tokens_per_slot, dim=1)
            enters = enters_BS.repeat_interleave(tokens_per_slot, dim=1)
            if load.filled_BSK is not None:
                self.kept[name, 0] = filled = load.filled_BSK.flatten(1).to(device)
                enters = enters & filled
            keys.append(torch.where(enters, 2 * local, -1))
            valid.append(enters)
            slot_of.append(
                torch.arange(slots, slots + local_BS.shape[1], device=device).repeat_interleave(tokens_per_slot)[None]
            )
            slots += local_BS.shape[1]
            column_of.append(local.clamp(0, max(self.text_length - 1, 0)))
            self.ranges[name] = (first, first + load.count)
            first += load.count
        self.total = first
        self.keys_BU = torch.cat(keys, dim=1)
        self.valid_BU = torch.cat(valid, dim=1)
        self.column_BU = torch.cat(column_of, dim=1)
        self.slot_U = torch.cat(slot_of, dim=1)[0]

    def layout(self, group: Group, text: bool = True) -> Layout:
        """Order the text (or not even that) and the items of `group` as a layer sees them."""
        rows, device = self.keys_BU.shape[0], self.keys_BU.device
        keys_BU, valid_BU = self.keys_BU, self.valid_BU
        spans = [(0, self.text_length)] if text else []
        for name, cut in group:
            if name in self.ranges:
                spans.append(self.ranges[name])
                if cut:
                    kept_BU = self._spread(self.kept[name, cut], *self.ranges[name])
                    keys_BU, valid_BU = keys_BU.masked_fill(~kept_BU, -1), valid_BU & kept_BU
        members = torch.cat([torch.arange(first, last, device=device) for first, last in [(0, 0), *spans]])
        keys = keys_BU[:, members]
        order = torch.argsort(keys, dim=1, stable=True)
        if not torch.compiler.is_compiling():  # places that are empty in every row cost compute and hold nothing
            order = order[:, int((keys < 0).sum(1).min()) :]
        items = members[order]
        places = torch.full((rows, self.total), -1, dtype=torch.long, device=device)
        places.scatter_(1, items, torch.arange(items.shape[1], device=device).expand(rows, -1))
        return Layout(items, places, valid_BU.gather(1, items))

    def _spread(self, kept_BN: Tensor, first: int, last: int) -> Tensor:
        """A mask over all items that is True but for the items first..last-1 that are not kept."""
        return torch.nn.functional.pad(kept_BN, (first, self.total - last), value=True)

    def drop(self, name: str, cut: int, scores_BN: Tensor, slots: int, count: int | Tensor) -> None:
        """Keep the `count` highest of each slot, of those that cut - 1 left; the earlier of equals.

        Args:
            scores_BN: (B, S * K), whatever for tokens that are gone.
            slots: S.
            count: one number for all slots, or (B, S, 1).
        """
        before = self.kept.get((name, cut - 1))
        if before is not None:
            scores_BN = scores_BN.masked_fill(~before, -torch.inf)
        scores_BSK = scores_BN.unflatten(1, (slots, -1))
        rank_BSK = scores_BSK.argsort(dim=2, descending=True, stable=True).argsort(dim=2)
        self.kept[name, cut] = (rank_BSK < count).flatten(1)

    def sources(self, before: Layout, after: Layout, fresh: Iterable[str]) -> Tensor:
        """Where each place of `after` comes from, as an index into `[hidden of before | fresh tokens]`, (B, W).

        Args:
            fresh: modalities written here, in the order in which their tokens are appended.
        """
        origin = before.places_BU.clamp(min=0)
        offset = before.width
        for name in fresh:
            first, last = self.ranges[name]
            origin = origin.clone()
            origin[:, first:last] = torch.arange(offset, offset + last - first, device=origin.device)
            offset += last - first
        return origin.gather(1, after.items_BW)


def weave(first: Layout, second: Layout, after: Layout) -> Tensor:
    """Where each place of `after` comes from, as an index into `[states of first | states of second]`, (B, W).

    What stands in both is taken from the first.
    """
    places_BU = torch.where(first.places_BU >= 0, first.places_BU, first.width + second.places_BU.clamp(min=0))
    return places_BU.gather(1, after.items_BW)


def positions_from_mask(mask_BK: Tensor, last: int) -> Tensor:
    """Position ids of the last `last` columns when padding is not counted, (B, last); 0 at leading padding."""
    return (mask_BK.long().cumsum(1) - 1).clamp(min=0)[:, -last:] if last else mask_BK.new_zeros((len(mask_BK), 0))


def item_positions(items: Items, rule: str, text_mask_BK: Tensor, union: Layout, union_mask_BK: Tensor) -> Tensor:
    """One position id for each item, the same in every layer, (B, U).

    `merged`: text and tokens are counted together, whichever layers see them.
    `compact`: text counts text only; a token shares the id of the text column that follows its slot.
    """
    if rule == "compact":
        return positions_from_mask(text_mask_BK, items.text_length).gather(1, items.column_BU)
    merged = positions_from_mask(union_mask_BK, union.width)
    return merged.gather(1, union.places_BU.clamp(min=0))


def gather_rows(source_BND: Tensor, index_BW: Tensor) -> Tensor:
    """source[b, index[b, w]] for every row: (B, W, D)."""
    return source_BND.gather(1, index_BW.unsqueeze(-1).expand(-1, -1, source_BND.shape[-1]))
