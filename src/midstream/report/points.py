"""From the rows of a results table to what is drawn and listed: one point for each setting, over its seeds."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from midstream.report.statistics import Interval, interval_of
from midstream.sweep.results import ALL, CAPTIONS

FRACTION = "fraction"
CONDITIONS = ("accuracy", "ceiling", "blind", "shuffled", "untrained")
"""What every table shows first; further conditions of a table follow in its order."""
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """One setting of a sweep on one split.

    Args:
        label: method and what else of the grid tells it from others.
        method: what is before an @; variants of one method share it.
        variant: what tells it from the method's other ones, the share of the data left out.
        split: of the data.
        panel: data, language model and, where a table has several, the length of training: only points of one panel
            compare.
        rows: condition -> its rows, one for each seed.
        intervals: condition -> mean and interval over seeds and scenes.
        kinds: kind of question -> mean accuracy.
        captions: the rows about descriptions.
    """

    label: str
    method: str
    variant: str
    split: str
    panel: str
    rows: Mapping[str, Sequence[Row]]
    intervals: Mapping[str, Interval]
    kinds: Mapping[str, float]
    captions: Sequence[Row] = ()

    @property
    def first(self) -> Row:
        """A row, for what all of them have in common."""
        return next(iter(self.rows.values()))[0]

    def interval(self, condition: str = "accuracy") -> Interval | None:
        """Mean and interval under a condition; None where it was not measured."""
        return self.intervals.get(condition)

    def mean(self, column: str) -> float | None:
        """A figure of the runs, over those that have it."""
        found = [row[column] for row in self.rows.get("accuracy", []) if row[column] is not None]
        return mean(found) if found else None

    @property
    def seeds(self) -> list[int]:
        """Of the runs."""
        return [row["seed"] for row in self.rows.get("accuracy", [])]


def points_of(rows: Iterable[Row]) -> list[Point]:
    """Every setting on every split, in the order of the table.

    Rows belong together that differ in their seed only: of one grid, method, setting, recipe, model and split.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = ("grid", "method", "settings", "recipe", "lm", "data", "split")
        groups.setdefault(tuple(str(row[name]) for name in key), []).append(row)
    made = _of_one_length([_point(group) for group in groups.values()])
    varying = {place: _varying(chosen) for place, chosen in _by_place(made).items()}
    return [_named(point, varying[point.panel, point.split]) for point in made]


def conditions_of(points: Sequence[Point]) -> list[str]:
    """Every condition that was measured; the usual ones first."""
    found = dict.fromkeys(condition for point in points for condition in point.rows)
    return [name for name in CONDITIONS if name in found] + [name for name in found if name not in CONDITIONS]


def _point(group: Sequence[Row]) -> Point:
    whole = [row for row in group if row["kind"] == ALL]
    by_condition: dict[str, list[Row]] = {}
    for row in sorted(whole, key=lambda row: row["seed"]):
        by_condition.setdefault(row["condition"], []).append(row)
    kinds: dict[str, list[float]] = {}
    for row in group:
        if row["kind"] not in (ALL, CAPTIONS):
            kinds.setdefault(row["kind"], []).append(row["value"])
    first = group[0]
    method, _, variant = first["method"].partition("@")
    return Point(
        first["method"],
        method,
        variant,
        first["split"],
        f"{first['data']}, {first['lm']}",
        by_condition,
        {condition: interval_of(rows) for condition, rows in by_condition.items()},
        {kind: mean(values) for kind, values in sorted(kinds.items())},
        [row for row in group if row["kind"] == CAPTIONS],
    )


def _by_place(points: Sequence[Point]) -> dict[tuple[str, str], list[Point]]:
    """Panel and split -> its points."""
    found: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        found.setdefault((point.panel, point.split), []).append(point)
    return found


def _of_one_length(points: Sequence[Point]) -> list[Point]:
    """The points with the length of their training in the panel's name, where a panel has several."""
    long = {point: f"{point.first['steps']} steps of {point.first['batch_size']}" for point in points}
    several = {place for place, chosen in _by_place(points).items() if len({long[point] for point in chosen}) > 1}
    return [
        replace(point, panel=f"{point.panel}, {long[point]}") if (point.panel, point.split) in several else point
        for point in points
    ]


def _varying(points: Sequence[Point]) -> list[str]:
    """Axes of the grids that tell points of one method apart; one that another grid has not does, too."""
    told = [(point.first["method"], json.loads(point.first["settings"])) for point in points]
    axes = dict.fromkeys(axis for _, settings in told for axis in settings)
    return [axis for axis in axes if _differs(axis, told)]


def _differs(axis: str, told: Sequence[tuple[str, Mapping[str, Any]]]) -> bool:
    found: dict[str, set[str]] = {}
    for method, settings in told:
        found.setdefault(method, set()).add(json.dumps(settings.get(axis)))
    return any(len(values) > 1 for values in found.values())


def _named(point: Point, varying: Sequence[str]) -> Point:
    settings = json.loads(point.first["settings"])
    told = [
        f"{axis.rpartition('.')[2]} {_plain(settings[axis])}"
        for axis in varying
        if axis in settings and axis != FRACTION
    ]
    share = point.first["data_fraction"]
    shares = [f"{100 * share:g}% of the data"] if FRACTION in varying and share != 1 else []
    variant = ", ".join([*([point.variant] if point.variant else []), *told])
    return replace(point, label=", ".join([point.label, *told, *shares]), variant=variant)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
