"""Schedules are data: valid ones round-trip, wrong ones are refused in a sentence, and each draws what it does."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.errors import InputError
from midstream.presets import (
    PRESETS,
    deep_insert,
    deepstack,
    ep_alm,
    fastv,
    prepend,
    preset,
    pyramid_drop,
    shortv,
    soft_prompt,
    vica,
    vtw,
    window,
)
from midstream.schedule import Keep, Schedule, Write


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    enter = draw(st.integers(0, 12))
    layers = [enter, *sorted(draw(st.sets(st.integers(enter + 1, enter + 8), max_size=4)))]
    levels = [0, *(draw(st.integers(0, 3)) for _ in layers[1:])]
    modes = ["replace", *(draw(st.sampled_from(["replace", "add"])) for _ in layers[1:])]
    leave = draw(st.one_of(st.none(), st.integers(layers[-1] + 1, layers[-1] + 5)))
    inside = st.integers(enter, (leave or enter + 10) - 1)
    readable = draw(st.sets(inside, max_size=3))
    parked = draw(st.sets(inside, max_size=3)) - readable
    keeps = [
        Keep(layer, draw(st.sampled_from([0.1, 0.5, 1.0])), draw(st.sampled_from(["norm", "even", "random"])))
        for layer in sorted(draw(st.sets(inside, max_size=2)))
    ]
    writes = tuple(map(Write, layers, levels, modes))
    return Schedule(enter, leave, writes, tuple(readable), tuple(parked), tuple(keeps), name=draw(st.text(max_size=5)))


@given(schedules())
def test_round_trip(schedule: Schedule) -> None:
    assert Schedule.from_dict(schedule.to_dict()) == schedule
    assert hash(Schedule.from_dict(schedule.to_dict())) == hash(schedule)


@given(schedules(), st.integers(1, 30))
def test_drawing_says_what_is_live_and_written(schedule: Schedule, depth: int) -> None:
    cells = schedule.draw(depth)
    assert len(cells) == depth
    for layer, cell in enumerate(cells):
        written = [write for write in schedule.writes if write.layer == layer]
        assert (cell == ".") == (not schedule.is_live(layer)) == (schedule.state(layer) == "absent")
        assert cell.isdigit() == any(write.mode == "replace" for write in written)
        assert (cell == "+") == any(write.mode == "add" for write in written)
        if not written and cell != "k":
            assert (cell == "o") == (layer in schedule.readable)
            assert (cell == "_") == (layer in schedule.parked)


@given(schedules(), st.integers(0, 40))
def test_what_is_kept_never_grows_and_never_vanishes(schedule: Schedule, tokens: int) -> None:
    counts = [schedule.kept(layer, tokens) for layer in range(schedule.enter, schedule.leave or 30)]
    assert counts == sorted(counts, reverse=True)
    assert (min(counts) > 0) == (tokens > 0)


@given(schedules(), st.integers(1, 30))
def test_validation_accepts_what_fits_and_only_that(schedule: Schedule, depth: int) -> None:
    named = [*schedule.readable, *schedule.parked, *(part.layer for part in (*schedule.writes, *schedule.keeps))]
    fits = max(named) < depth and (schedule.leave or 0) <= depth
    if fits:
        assert schedule.validate(depth) is schedule
    else:
        with pytest.raises(InputError, match="the schedule of eyes"):
            schedule.validate(depth, "eyes")


@given(st.integers(-3, 20), st.one_of(st.none(), st.integers(-3, 20)))
def test_construction_refuses_impossible_layers(enter: int, leave: int | None) -> None:
    if enter >= 0 and (leave is None or leave > enter):
        assert [layer for layer in range(25) if Schedule(enter, leave).is_live(layer)] == list(
            range(enter, leave or 25)
        )
    else:
        with pytest.raises(InputError):
            Schedule(enter, leave)


@pytest.mark.parametrize(
    ("enter", "leave", "writes", "words"),
    [
        (-1, None, (), "enter=-1"),
        (3, 3, (), "leave=3"),
        (2, None, (Write(3),), "begin at enter=2"),
        (2, None, (Write(2), Write(2)), "rise strictly"),
        (2, None, (Write(2), Write(5), Write(4)), "rise strictly"),
        (2, 4, (Write(2), Write(4)), "left at layer 4"),
        (2, None, (Write(2, 1),), "begin at 0"),
        (2, None, (Write(2), Write(3, -1)), "not be negative"),
    ],
)
def test_errors_name_the_value(enter: int, leave: int | None, writes: tuple[Write, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Schedule(enter, leave, writes)


@pytest.mark.parametrize(
    ("schedule", "drawn"),
    [
        (prepend(), "0#######"),
        (soft_prompt(), "0#######"),
        (deep_insert(4), "....0###"),
        (deep_insert(7), ".......0"),
        (window(2, 5), "..0##..."),
        (window(0, 3), "0##....."),
        (ep_alm(2, 5, 2), "..0011##"),
        (ep_alm(2, 6, 2), "..00011#"),
        (ep_alm(4, 7, 4), "....0123"),
        (vtw(4), "0###...."),
        (deepstack(4), "0+++####"),
        (fastv(2, 0.5), "0#k#####"),
        (pyramid_drop((2, 4), 0.5), "0#k#k###"),
        (shortv((3, 5, 6)), "0##o#oo#"),
        (vica((0, 1, 6)), "0o____o."),
    ],
)
def test_presets_draw_as_documented(schedule: Schedule, drawn: str) -> None:
    assert schedule.draw(8) == drawn


def test_the_papers_ep_alm_writes_each_level_twice() -> None:
    """OPT with 32 layers, inputs 19..30, six [CLS] in order, each at two consecutive layers; the last layer is left."""
    schedule = ep_alm(19, 30, 6)
    assert [(write.layer, write.level) for write in schedule.writes] == [(19 + i, i // 2) for i in range(12)]
    assert schedule.levels == 6
    assert schedule.is_live(31)
    assert schedule.write_at(31) is None


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 9))
def test_ep_alm_spreads_levels_evenly(first: int, span: int, levels: int) -> None:
    if not 1 <= levels <= span:
        with pytest.raises(InputError, match="levels"):
            ep_alm(first, first + span - 1, levels)
        return
    written = [write.level for write in ep_alm(first, first + span - 1, levels).writes]
    counts = [written.count(level) for level in range(levels)]
    assert written == sorted(written)
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == span


def test_entering_at_0_is_prepending() -> None:
    assert deep_insert(0).writes == prepend().writes
    assert (deep_insert(0).enter, deep_insert(0).leave) == (prepend().enter, prepend().leave)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"readable": (1,)}, "readable names layer 1"),
        ({"parked": (9,), "leave": 9}, "parked names layer 9"),
        ({"readable": (4,), "parked": (4,)}, "layer 4 is both"),
        ({"keeps": (Keep(4, 0.0),)}, "fraction 0.0"),
        ({"keeps": (Keep(4, 1.5),)}, "fraction 1.5"),
        ({"keeps": (Keep(4, "half"),)}, "'half'"),
        ({"keeps": (Keep(4, 0.5), Keep(4, 0.5))}, "rise strictly"),
        ({"keeps": (Keep(1, 0.5, "norm"),)}, "a keep at layer 1"),
        ({"keeps": (Keep(2, 0.5),)}, "attention in layer 1"),
        ({"keeps": (Keep(5, 0.5),), "parked": (4,)}, "attention in layer 4"),
        ({"keeps": (Keep(4, 0.5, "preview"),), "parked": (4,)}, "attention in layer 4"),
        ({"keeps": (Keep(4, 0.5, "luck"),)}, "'luck'"),
        ({"writes": (Write(2, 0, "add"),)}, "nothing to add to"),
        ({"writes": (Write(2), Write(3, 0, "mix"))}, "'mix'"),
    ],
)
def test_errors_of_routing_name_the_value(settings: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Schedule(2, **settings)  # type: ignore[arg-type]


def test_nothing_can_be_previewed_before_the_first_layer() -> None:
    with pytest.raises(InputError, match="layer 0 cannot go by preview"):
        Schedule(0, keeps=(Keep(0, 0.5, "preview"),))
    assert Schedule(2, keeps=(Keep(2, 0.5, "preview"),)).kept(2, 8) == 4
    assert Schedule(2, keeps=(Keep(2, 0.5, "preview"),)).kept(2, 8, before=True) == 8


@given(schedules())
def test_custom_says_all_that_a_schedule_can(schedule: Schedule) -> None:
    data = {key: value for key, value in schedule.to_dict().items() if key != "name"}
    assert preset("custom", **data) == dataclasses.replace(schedule, name="custom")


def test_presets_by_name() -> None:
    assert preset("window", first=2, last=5) == window(2, 5)
    assert {"prepend", "deep_insert", "window", "ep_alm", "soft_prompt", "fastv", "shortv", "vica"} < set(PRESETS)
    with pytest.raises(InputError, match="deep_insert"):
        preset("deep_inset", layer=2)
    with pytest.raises(InputError, match=r"deep_insert.*layers"):
        preset("deep_insert", layers=2)
    with pytest.raises(InputError, match="layer"):
        preset("deep_insert")


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(InputError, match="leaves"):
        Schedule.from_dict({"enter": 1, "leaves": 3})


@pytest.mark.parametrize(
    "data",
    [{}, {"enter": "2"}, {"enter": 1.5}, {"enter": 1, "writes": [[1]]}, {"enter": 1, "keeps": 3}, {"enter": True}],
)
def test_damaged_data_is_refused(data: dict[str, object]) -> None:
    """A config that somebody edited: one sentence, not a TypeError."""
    with pytest.raises(InputError):
        Schedule.from_dict(data)
