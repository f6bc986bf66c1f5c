"""Placement against lists: slots, padding and senses at random, laid out by a loop that anyone can check."""

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from midstream.engine.placement import (
    Cargo,
    Group,
    Items,
    Layout,
    gather_rows,
    item_positions,
    positions_from_mask,
    weave,
)

NAMES = ("image", "other", "third")


@dataclass(frozen=True)
class Scene:
    """Random slots: per sense the tokens a slot, and per row its slot columns (-1 for none)."""

    past: int
    mask: list[list[bool]]
    tokens: dict[str, int]
    slots: dict[str, list[list[int]]]

    @property
    def width(self) -> int:
        return len(self.mask[0]) - self.past

    def items(self) -> Items:
        cargo = {
            name: Cargo(torch.tensor(rows), torch.zeros(len(rows), len(rows[0]), 1, self.tokens[name], 2))
            for name, rows in self.slots.items()
        }
        return Items(torch.tensor(self.mask)[:, self.past :], cargo, self.past)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    rows, past, width = draw(st.integers(1, 3)), draw(st.integers(0, 3)), draw(st.integers(1, 6))
    mask = []
    for _ in range(rows):
        left = draw(st.integers(0, past + width - 1))
        right = draw(st.integers(0, past + width - 1 - left))
        mask.append([False] * left + [True] * (past + width - left - right) + [False] * right)
    names = NAMES[: draw(st.integers(0, 3))]
    column = st.one_of(st.just(-1), st.integers(0, past + width - 1))
    slots = {}
    for name in names:
        count = draw(st.integers(1, 3))
        slots[name] = [draw(st.lists(column, min_size=count, max_size=count)) for _ in range(rows)]
    return Scene(past, mask, {name: draw(st.integers(1, 3)) for name in names}, slots)


def _expected(scene: Scene, row: int, group: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """What row `row` of a layer that sees `group` holds, in order: ("text", column) and (sense, slot, token)."""
    sequence: list[tuple[Any, ...]] = []
    for column in range(scene.width):
        for name in group:
            for slot, place in enumerate(scene.slots[name][row]):
                if place == scene.past + column:
                    sequence += [(name, slot, token) for token in range(scene.tokens[name])]
        sequence.append(("text", column))
    return sequence


def _name(scene: Scene, item: int) -> tuple[Any, ...]:
    """The item of an index: text columns first, then each sense's slots and tokens."""
    if item < scene.width:
        return "text", item
    item -= scene.width
    for name, rows in scene.slots.items():
        count = len(rows[0]) * scene.tokens[name]
        if item < count:
            return name, item // scene.tokens[name], item % scene.tokens[name]
        item -= count
    raise AssertionError("no such item")


def _absent(scene: Scene, row: int, name: tuple[Any, ...]) -> bool:
    """Whether a token's slot is empty or belongs to an earlier call."""
    return name[0] != "text" and scene.slots[name[0]][row][name[1]] < scene.past


def _whole(names: tuple[str, ...]) -> Group:
    """A group of which nothing was dropped."""
    return tuple((name, 0) for name in names)


def _groups(scene: Scene) -> list[tuple[str, ...]]:
    names = tuple(scene.slots)
    return [tuple(name for index, name in enumerate(names) if bits >> index & 1) for bits in range(2 ** len(names))]


def _holds(scene: Scene, layout: Layout, group: tuple[str, ...]) -> bool:
    """Whether a layout is the list, with absent tokens at its left and only what is real marked valid."""
    for row, mask in enumerate(scene.mask):
        names = [_name(scene, int(item)) for item in layout.items_BW[row]]
        absent = [_absent(scene, row, name) for name in names]
        real = [mask[scene.past + name[1]] if name[0] == "text" else not _absent(scene, row, name) for name in names]
        present = [name for name, gone in zip(names, absent, strict=True) if not gone]
        if present != _expected(scene, row, group) or absent != sorted(absent, reverse=True):
            return False
        if layout.valid_BW[row].tolist() != real:
            return False
        places = {int(item): place for place, item in enumerate(layout.items_BW[row])}
        if layout.places_BU[row].tolist() != [places.get(item, -1) for item in range(layout.places_BU.shape[1])]:
            return False
    return True


@given(scenes())
def test_layouts_are_the_lists(scene: Scene) -> None:
    items = scene.items()
    assert all(_holds(scene, items.layout(_whole(group)), group) for group in _groups(scene))


def test_control_a_slot_in_the_wrong_place_is_noticed() -> None:
    scene = Scene(0, [[True] * 3], {"image": 2}, {"image": [[1]]})
    late = Scene(0, [[True] * 3], {"image": 2}, {"image": [[2]]})
    assert _holds(scene, scene.items().layout(_whole(("image",))), ("image",))
    assert not _holds(scene, late.items().layout(_whole(("image",))), ("image",))


@given(scenes(), st.data())
def test_sources_bring_each_item_from_where_it_was(scene: Scene, data: st.DataObject) -> None:
    """Hidden states hold their own item number, fresh ones 1000 more; after the splice each place holds its item."""
    items, groups = scene.items(), _groups(scene)
    before, after = data.draw(st.sampled_from(groups)), data.draw(st.sampled_from(groups))
    rewritten = [name for name in after if name in before and data.draw(st.booleans())]
    fresh = [name for name in after if name not in before or name in rewritten]
    old, new = items.layout(_whole(before)), items.layout(_whole(after))
    written = [torch.arange(*items.ranges[name]).expand(len(scene.mask), -1) + 1000 for name in fresh]
    holds = gather_rows(torch.cat([old.items_BW, *written], dim=1)[..., None], items.sources(old, new, fresh)).squeeze(
        -1
    )
    for row in range(len(scene.mask)):
        for place, item in enumerate(new.items_BW[row].tolist()):
            name = _name(scene, item)
            if not _absent(scene, row, name):
                assert holds[row, place] == item + 1000 * (name[0] in fresh)


@given(scenes())
def test_positions_count_what_is_real(scene: Scene) -> None:
    items, union = scene.items(), tuple(scene.slots)
    layout = items.layout(_whole(union))
    past = torch.tensor(scene.mask)[:, : scene.past]
    whole = torch.cat([past, layout.valid_BW], dim=1)
    merged = item_positions(items, "merged", torch.tensor(scene.mask), layout, whole)
    compact = item_positions(items, "compact", torch.tensor(scene.mask), layout, whole)
    for row, mask in enumerate(scene.mask):
        merged_count = sum(mask[: scene.past])
        for place, item in enumerate(layout.items_BW[row].tolist()):
            name = _name(scene, item)
            if _absent(scene, row, name):
                continue
            column = name[1] if name[0] == "text" else scene.slots[name[0]][row][name[1]] - scene.past
            assert compact[row, item] == max(sum(mask[: scene.past + column + 1]) - 1, 0)
            if bool(layout.valid_BW[row, place]):
                assert merged[row, item] == merged_count
                merged_count += 1


def test_positions_of_padding() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()
    assert positions_from_mask(mask, 5).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 2, 2]]
    assert positions_from_mask(mask, 2).tolist() == [[1, 2], [2, 2]]
    assert positions_from_mask(mask, 0).shape == (2, 0)


@given(scenes(), st.data())
def test_dropped_tokens_are_the_worst_of_their_slot_and_gone(scene: Scene, data: st.DataObject) -> None:
    items = scene.items()
    for name, rows in scene.slots.items():
        slots, tokens = len(rows[0]), scene.tokens[name]
        count = data.draw(st.integers(1, tokens))
        scores = torch.rand(len(rows), slots * tokens)
        items.drop(name, 1, scores, slots, count)
        group = tuple((other, int(other == name)) for other in scene.slots)
        layout = items.layout(group)
        for row in range(len(rows)):
            there = [_name(scene, int(item)) for item in layout.items_BW[row][layout.valid_BW[row]]]
            for slot in range(slots):
                kept = [token for sense, at, token in (n for n in there if n[0] == name) if at == slot]
                if _absent(scene, row, (name, slot, 0)):
                    assert not kept
                    continue
                own = scores[row].unflatten(0, (slots, tokens))[slot]
                assert sorted(kept) == sorted(own.argsort(descending=True)[:count].tolist())


@given(scenes(), st.data())
def test_weaving_takes_what_the_first_has_from_it(scene: Scene, data: st.DataObject) -> None:
    items, groups = scene.items(), _groups(scene)
    after = data.draw(st.sampled_from(groups))
    first = tuple(name for name in after if data.draw(st.booleans()))
    rest = items.layout(_whole(tuple(name for name in after if name not in first)), text=False)
    whole, own = items.layout(_whole(after)), items.layout(_whole(first))
    states = torch.cat([own.items_BW, rest.items_BW + 1000], dim=1)
    woven = states.gather(1, weave(own, rest, whole))
    for row in range(len(scene.mask)):
        for place, item in enumerate(whole.items_BW[row].tolist()):
            name = _name(scene, item)
            if not _absent(scene, row, name):
                assert woven[row, place] == item + 1000 * (name[0] != "text" and name[0] not in first)
