"""Splitting a merged sequence and putting it together, beside a slow loop over its columns."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from midstream import InputError, Keep
from midstream.engine.placement import Cargo, Items
from midstream.engine.splicing import _stay
from midstream.retrofitting.columns import columns_of

rows_of_columns = st.lists(st.lists(st.sampled_from([1, 1, 8, 9]), min_size=6, max_size=6), min_size=1, max_size=3)
"""Token ids of some rows; 8 and 9 are media of two kinds."""


@given(rows_of_columns)
def test_split_and_put_together(rows: list[list[int]]) -> None:
    ids = torch.tensor([[*row, 1] for row in rows])  # words follow media
    media = ids >= 8
    values = torch.arange(1.0, ids.numel() + 1).view(*ids.shape, 1)
    columns = columns_of(media, ids, torch.ones_like(media)) if bool(media.any()) else columns_of(media, None, ~media)
    text, tokens = columns.rows(values)
    assert torch.equal(columns.merged(text), values.masked_fill(media[..., None], 0))
    for row, kinds in enumerate(ids.tolist()):
        words, slots = slowly(kinds)
        present = columns.present_BT[row]
        assert text[row, present, 0].tolist() == [float(values[row, column]) for column in words]
        blank = int((~present).sum())
        assert bool(present[blank:].all()), "rows with fewer words are filled up at the left"
        found = columns.slots_BS[row]
        assert found[found >= 0].tolist() == [blank + before for before, _ in slots]
        for slot, (_, run) in enumerate(slots):
            kept = columns.filled_BSK[row, slot]
            assert tokens[row, slot, kept, 0].tolist() == [float(values[row, column]) for column in run]
    assert int(columns.filled_BSK.sum()) == int(media.sum())


def slowly(kinds: list[int]) -> tuple[list[int], list[tuple[int, list[int]]]]:
    """The columns of words, and for each slot how many words stand before it and its columns."""
    words: list[int] = []
    slots: list[tuple[int, list[int]]] = []
    for column, kind in enumerate(kinds):
        if kind == 1:
            words.append(column)
        elif column and kinds[column - 1] == kind:
            slots[-1][1].append(column)
        else:
            slots.append((len(words), [column]))
    return words, slots


def test_media_at_the_end_are_refused() -> None:
    ids = torch.tensor([[1, 1, 8], [1, 8, 1]])
    with pytest.raises(InputError, match="row 0 of the prompt ends with media"):
        columns_of(ids == 8, ids, torch.ones_like(ids).bool())


def test_a_fraction_is_of_each_slots_own_tokens() -> None:
    """Slots of 4, 1 and 3 tokens; half of them stay, and of those that stay half."""
    filled = torch.tensor([[[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0]]]).bool()
    load = Cargo(torch.tensor([[0, 1, 1]]), torch.zeros(1, 3, 1, 4, 2), filled)
    items = Items(torch.ones(1, 2, dtype=torch.bool), {"media": load}, 0)
    scores = torch.tensor([[3.0, 9.0, 1.0, 7.0, 2.0, 99.0, 99.0, 99.0, 5.0, 6.0, 4.0, 99.0]])
    once, twice = _stay(Keep(1, 0.5), load.lengths()), _stay(Keep(2, 0.5), _stay(Keep(1, 0.5), load.lengths()))
    items.drop("media", 1, scores, 3, once)
    assert items.kept["media", 1].nonzero()[:, 1].tolist() == [1, 3, 4, 9], "not the empty places, whatever they score"
    items.drop("media", 2, scores, 3, twice)
    assert items.kept["media", 2].nonzero()[:, 1].tolist() == [1, 4, 9]
    assert items.layout((("media", 2),)).items_BW.tolist() == [[3, 0, 6, 11, 1]]
