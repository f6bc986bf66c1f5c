"""Schedules are data: valid ones round-trip, wrong ones are refused in a sentence, and each draws what it does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.errors import InputError
from midstream.schedule import PRESETS, Schedule, Write, deep_insert, ep_alm, prepend, preset, soft_prompt, window


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    enter = draw(st.integers(0, 12))
    layers = [enter, *sorted(draw(st.sets(st.integers(enter + 1, enter + 8), max_size=4)))]
    levels = [0, *(draw(st.integers(0, 3)) for _ in layers[1:])]
    leave = draw(st.one_of(st.none(), st.integers(layers[-1] + 1, layers[-1] + 5)))
    return Schedule(enter, leave, tuple(map(Write, layers, levels)), draw(st.text(max_size=5)))


@given(schedules())
def test_round_trip(schedule: Schedule) -> None:
    assert Schedule.from_dict(schedule.to_dict()) == schedule
    assert hash(Schedule.from_dict(schedule.to_dict())) == hash(schedule)


@given(schedules(), st.integers(1, 30))
def test_drawing_says_what_is_live_and_written(schedule: Schedule, depth: int) -> None:
    cells = schedule.draw(depth)
    assert len(cells) == depth
    for layer, cell in enumerate(cells):
        assert (cell == ".") == (not schedule.is_live(layer))
        assert (cell.isdigit()) == (layer in [write.layer for write in schedule.writes])


@given(schedules(), st.integers(1, 30))
def test_validation_accepts_what_fits_and_only_that(schedule: Schedule, depth: int) -> None:
    fits = all(write.layer < depth for write in schedule.writes) and (schedule.leave or 0) <= depth
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
    assert schedule.level_written_at(31) is None


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


def test_presets_by_name() -> None:
    assert preset("window", first=2, last=5) == window(2, 5)
    assert set(PRESETS) == {"prepend", "deep_insert", "window", "ep_alm", "soft_prompt"}
    with pytest.raises(InputError, match="deep_insert"):
        preset("deep_inset", layer=2)
    with pytest.raises(InputError, match=r"deep_insert.*layers"):
        preset("deep_insert", layers=2)
    with pytest.raises(InputError, match="layer"):
        preset("deep_insert")


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(InputError, match="leaves"):
        Schedule.from_dict({"enter": 1, "leaves": 3})


@pytest.mark.parametrize("data", [{}, {"enter": "2"}, {"enter": 1.5}, {"enter": 1, "writes": [[1]]}, {"enter": True}])
def test_damaged_data_is_refused(data: dict[str, object]) -> None:
    """A config that somebody edited: one sentence, not a TypeError."""
    with pytest.raises(InputError):
        Schedule.from_dict(data)
