"""A mix: exact proportions, every row a function of its number, and nothing lost of any part."""

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream.data.identity import identity
from midstream.data.mixing import BLOCK, Pattern, mixed
from midstream.data.rows import Rows
from midstream.data.sources import open_rows
from midstream.data.streams import Stream
from midstream.errors import InputError
from midstream.recipe import load_recipe


def rows_of(name: str, count: int) -> Rows:
    return Rows(range(count), lambda i: {"id": f"{name}{i}", "messages": []}, name)


def stream_of(name: str, count: int) -> Stream:
    return Stream(lambda number: iter(range(count)), lambda i: {"id": f"{name}{i}", "messages": []}, name)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.05, 1), min_size=1, max_size=5), st.integers(0, 2**32), st.integers(0, 10**6))
def test_a_pattern_keeps_proportions_and_counts_each_part_on(weights: list[float], seed: int, block: int) -> None:
    pattern = Pattern(weights, seed)
    found = [pattern(index) for index in range(block * BLOCK, (block + 1) * BLOCK)]
    counts = Counter(part for part, _ in found)
    assert [counts[part] for part in range(len(weights))] == pattern.shares and sum(pattern.shares) == BLOCK
    for part, share in enumerate(pattern.shares):
        assert abs(share - BLOCK * weights[part] / sum(weights)) < 1
        numbers = [number for which, number in found if which == part]
        assert numbers == list(range(block * share, (block + 1) * share))
        assert pattern(pattern.place(part, numbers[-1])) == (part, numbers[-1])


def test_every_part_is_gone_through_and_shorter_ones_again() -> None:
    rows = mixed([rows_of("a", 10), rows_of("b", 400)], [1, 3], seed=0)
    assert isinstance(rows, Rows)
    counts = Counter(row["id"] for row in rows)
    assert set(counts) == {*(f"a{i}" for i in range(10)), *(f"b{i}" for i in range(400))}
    assert {counts[f"b{i}"] for i in range(400)} == {1} and min(counts[f"a{i}"] for i in range(10)) > 9
    assert rows[len(rows) - 1]["id"] == "b399"  # the control: one row less would leave it out


def test_order_is_the_seeds_and_every_batch_is_mixed() -> None:
    parts = [rows_of("a", 500), rows_of("b", 500)]
    one, same, other = (mixed(parts, [1, 1], seed) for seed in (1, 1, 2))
    assert [row["id"] for row in one] == [row["id"] for row in same] != [row["id"] for row in other]
    for start in range(0, 960, 32):
        share = sum(row["id"].startswith("a") for row in one[start : start + 32])  # type: ignore[index]
        assert 4 <= share <= 28
    assert identity(one) == identity(same) != identity(other)  # type: ignore[arg-type]
    assert identity(one) != identity(mixed([parts[0], rows_of("c", 500)], [1, 1], 1))  # type: ignore[arg-type]


def test_a_mix_with_a_stream_is_a_stream_in_the_same_proportions() -> None:
    mix = mixed([stream_of("a", 7), rows_of("b", 5)], [3, 1], seed=0)
    assert isinstance(mix, Stream)
    ids = [row["id"] for row in islice(mix, 2 * BLOCK)]
    assert Counter(name[0] for name in ids) == {"a": 1500, "b": 500}
    assert [name for name in ids if name[0] == "a"][:8] == [*(f"a{i}" for i in range(7)), "a0"]
    assert [row["id"] for row in mix.first(20)] == ids[:20]


def test_weights_that_come_to_nothing_and_empty_parts_are_refused() -> None:
    with pytest.raises(InputError, match=r"data.parts\[1\].weight is 0.0001, less than one row in 1,000"):
        mixed([rows_of("a", 5), rows_of("b", 5)], [1, 0.0001], 0)
    with pytest.raises(InputError, match="b holds no rows"):
        mixed([rows_of("a", 5), rows_of("b", 0)], [1, 1], 0)


def test_a_recipe_mixes_its_parts() -> None:
    parts = [
        {"data": {"kind": "pocket", "scenes": 6}, "weight": 3},
        {"data": {"kind": "pocket", "scenes": 9, "seed": 1}},
    ]
    data = load_recipe("deep_insert", [f"data={{kind: mix, parts: {parts}}}"]).data
    rows = open_rows(data, "train")
    assert len(rows) >= 30 and len({row["id"] for row in rows}) == 15
    assert len(open_rows(data, "validation", 4)) == 4


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("{kind: mix, parts: []}", "`data.parts` is []"),
        ("{kind: mix, parts: [{weight: 1}]}", "`data.parts.0.data` is missing"),
        (
            "{kind: mix, parts: [{data: {kind: pocket}, weigt: 1}]}",
            "unknown key `data.parts.0.weigt`; did you mean `data.parts.0.weight`?",
        ),
        ("{kind: mix, parts: [{data: {kind: pocket, scens: 1}}]}", "did you mean `data.parts.0.data.scenes`?"),
        (
            "{kind: mix, parts: [{data: {scenes: 1}}]}",
            "`data.parts.0.data.kind` is missing; it must be one of 'pocket', 'jsonl'",
        ),
        ("{kind: mix, parts: [{data: {kind: mix, parts: []}}]}", "must be one of 'pocket', 'jsonl'"),
        ("{kind: mix, parts: [{data: {kind: pocket}, weight: 0}]}", "`data.parts.0.weight` is 0"),
        ("{kind: jsonl, train: a, media: b, images: c}", "`images` is the older name of `media`; give one of them"),
    ],
)
def test_wrong_settings_are_told_in_one_sentence(settings: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe("deep_insert", [f"data={settings}"])
    assert said in str(caught.value) and "\n" not in str(caught.value)
