"""The tables of docs/evidence.md and the README, made from results/evidence.parquet alone. Measures nothing.

    midstream sweep depth methods controls rate audio video data opt deep long --out results/evidence
    python benchmarks/evidence.py write

`write` puts each table between its marks in the pages; `check` says whether all of them are what the results give.
A row of a table is named as in the results: GRID/METHOD, or GRID/METHOD at a share of the data.
"""

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from statistics import mean
from typing import Annotated

import typer

from midstream.report.points import Point, points_of
from midstream.report.statistics import Interval, difference
from midstream.sweep.results import MOVED, read_table

ROOT = Path(__file__).parent.parent
RESULTS, PAGES = ROOT / "results" / "evidence.parquet", [ROOT / "docs" / "evidence.md", ROOT / "README.md"]
MARK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
CONTROLS = ("ceiling", "blind", "shuffled", "untrained")
BASE = "depth/deep_insert@0"
Points = dict[tuple[str, str], Point]
"""Name and split -> point."""


class Do(StrEnum):
    """What is done with the tables."""

    write = "write"
    check = "check"
    show = "show"


def main(
    do: Annotated[Do, typer.Argument(help="Write them into the pages, check that they stand there, or print them.")],
    results: Annotated[Path, typer.Option(help="Made by midstream sweep.")] = RESULTS,
    pages: Annotated[list[Path], typer.Option("--page", help="With the marks of tables.")] = PAGES,
) -> None:
    """The tables of docs/evidence.md and the README, made from the results alone."""
    points = named(points_of(read_table(results)))
    if do is Do.show:
        typer.echo("\n\n".join(f"{name}\n\n{make(points)}" for name, make in TABLES.items()))
        return
    for page in pages:
        before = page.read_text(encoding="utf-8")
        after = filled(before, points)
        if do is Do.write:
            page.write_text(after, encoding="utf-8")
        elif after != before:
            typer.echo(f"{page.name} is not what the results give; write it again", err=True)
            raise typer.Exit(1)


def filled(page: str, points: Points) -> str:
    """The page with every table made anew."""
    return MARK.sub(lambda mark: f"{mark[1]}{TABLES[mark[2]](points)}\n{mark[3]}", page)


def named(points: Sequence[Point]) -> Points:
    """The points by the name that the page gives them."""
    found: Points = {}
    for point in points:
        row = point.first
        share = "" if row["data_fraction"] == 1 else f" at {100 * row['data_fraction']:g}%"
        rate = f" lr {row['learning_rate']:g}" if point.split == "validation" else ""
        found[f"{row['grid']}/{row['method']}{share}{rate}", point.split] = point
    return found


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(found: Interval | None, wide: bool = True) -> str:
    """A share with its interval."""
    if found is None:
        return ""
    spread = f" ({100 * found.low:.0f}–{100 * found.high:.0f})" if wide else ""
    return f"{100 * found.value:.1f}{spread}"


def apart(point: Point, base: Point) -> str:
    """How much higher a point is than `base`, question by question."""
    ours, theirs = point.rows["accuracy"], base.rows["accuracy"]
    if point is base or {row["question_set"] for row in ours} != {row["question_set"] for row in theirs}:
        return ""
    found = difference([row["scores"] for row in ours], [row["scores"] for row in theirs], ours[0]["scenes"])
    return f"{100 * found.value:+.1f} ({100 * found.low:+.0f} to {100 * found.high:+.0f})"


def scores(points: Points, name: str, base: str) -> list[str]:
    """The columns that every table has."""
    test, other = points[name, "test"], points.get((name, "held_out"))
    controls = [percent(test.interval(control), wide=False) for control in CONTROLS]
    held_out = percent(other.interval(), wide=False) if other else ""
    return [percent(test.interval()), apart(test, points[base, "test"]), held_out, *controls, _each(test)]


def _each(point: Point) -> str:
    """What single seeds score."""
    return ", ".join(f"{100 * row['value']:.0f}" for row in point.rows["accuracy"])


HEAD = ("test", "against layer 0", "held out", *CONTROLS, "each seed")


def of_grid(points: Points, *grids: str) -> list[str]:
    """Names of the test points of grids, in the order of the results."""
    return [name for name, split in points if split == "test" and name.partition("/")[0] in grids]


def cost(point: Point, column: str) -> str:
    """A share of layer 0's cost."""
    found = point.mean(column)
    return "" if found is None else f"{found:.2f}"


def depth(*grids: str) -> Callable[[Points], str]:
    """Entry layers of one or more grids, each against the first row of its own."""

    def make(points: Points) -> str:
        rows = []
        for grid in grids:
            names = sorted(of_grid(points, grid), key=lambda name: (name.partition("@")[0], _layer(name)))
            base = f"{grid}/deep_insert@0"
            for name in names:
                costs = [cost(points[name, "test"], f"{part}_of_entry_0") for part in ("prefill", "train_step", "kv")]
                rows.append([f"`{name}`", *scores(points, name, base), *costs])
        return table(["row", *HEAD, "prefill", "training step", "cache"], rows)

    return make


def _layer(name: str) -> int:
    found = re.search(r"@(\d+)", name)
    return int(found[1]) if found else 99


def compared(points: Points, names: Sequence[str]) -> str:
    """Methods against tokens at layer 0."""
    rows = []
    for name in sorted(names, key=lambda name: -_value(points[name, "test"])):
        test = points[name, "test"]
        what = [f"{int(test.first['trained_parameters']):,}", f"{test.first['learning_rate']:g}"]
        costs = [beside(test, points[BASE, "test"], f"{part}_flops") for part in ("prefill", "train_step")]
        rows.append([f"`{name}`", *scores(points, name, BASE), *what, *costs])
    return table(["row", *HEAD, "trained", "learning rate", "prefill", "training step"], rows)


def beside(point: Point, base: Point, column: str) -> str:
    """A cost as a share of another point's."""
    ours, theirs = point.mean(column), base.mean(column)
    return "" if ours is None or theirs is None else f"{ours / theirs:.2f}"


def _value(point: Point) -> float:
    found = point.interval()
    return found.value if found else 0.0


def methods(points: Points) -> str:
    """All ways in, beside DeepInsert at three depths."""
    return compared(points, [*(f"depth/deep_insert@{layer}" for layer in (0, 2, 4)), *of_grid(points, "methods")])


def controls(points: Points) -> str:
    """What could embarrass us, beside what it is to be compared with."""
    return compared(points, [BASE, "depth/deep_insert@4", *of_grid(points, "controls")])


def data(points: Points) -> str:
    """Shares of the data for each method; 100% comes from the other grids."""
    whole = {"deep_insert@0": BASE, "deep_insert@4": "depth/deep_insert@4", "ep_alm_pt": "methods/ep_alm_pt"}
    rows = []
    for method, at_all in whole.items():
        names = [name for name in of_grid(points, "data") if name.split(" at ")[0].endswith("/" + method)]
        rows += [[f"`{name}`", *scores(points, name, at_all)] for name in [*names, at_all]]
    return table(["row", "test", "against 100%", *HEAD[2:]], rows)


def captions(points: Points) -> str:
    """Descriptions by entry layer, and of the same connectors elsewhere."""
    rows = []
    for name in of_grid(points, "depth"):
        conditions: dict[str, dict[str, list[float]]] = {}
        for row in points[name, "test"].captions:
            conditions.setdefault(row["condition"], {}).setdefault(row["metric"], []).append(row["value"])
        trained = conditions["accuracy"]
        figures = [f"{mean(trained[metric]):.3f}" for metric in ("cider", "bleu4", "rougeL")]
        lengths = [f"{mean(trained['length']):.1f}"]
        lengths += [_length(conditions, f"{MOVED}{layer}") for layer in (0, 4)]
        others = [f"{mean(conditions[control]['cider']):.3f}" for control in CONTROLS]
        rows.append([f"`{name}`", *figures, *others, *lengths])
    return table(
        ["row", "CIDEr-D", "BLEU-4", "ROUGE-L", *(f"CIDEr-D {c}" for c in CONTROLS), "length", "moved to 0", "to 4"],
        rows,
    )


def _length(conditions: dict[str, dict[str, list[float]]], condition: str) -> str:
    return f"{mean(conditions[condition]['length']):.1f}" if "length" in conditions.get(condition, {}) else ""


def moved(points: Points) -> str:
    """Connectors trained at one layer and measured at another."""
    rows = []
    for name in sorted(of_grid(points, "depth", "rate"), key=_layer):
        test = points[name, "test"]
        others = [percent(test.interval(f"{MOVED}{layer}")) for layer in (0, 4)]
        rows.append([f"`{name}`", f"{test.first['learning_rate']:g}", percent(test.interval()), *others])
    return table(["row", "learning rate", "where it was trained", "moved to 0", "moved to 4"], rows)


def readme(points: Points) -> str:
    """The shipped recipes at their full length."""
    rows, first = [], "long/deep_insert@0"
    for name in sorted(of_grid(points, "long"), key=_layer):
        test = points[name, "test"]
        value, ceiling = _value(test), test.interval("ceiling")
        share = f"{100 * value / ceiling.value:.0f}%" if ceiling else ""
        controls = [percent(test.interval(control), wide=False) for control in CONTROLS]
        costs = [beside(test, points[first, "test"], f"{part}_flops") for part in ("prefill", "train_step")]
        trained = f"{int(test.first['trained_parameters']):,}"
        rows.append([f"`{name}`", f"**{100 * value:.1f}** ({_each(test)})", share, *controls, trained, *costs])
    head = ["row", "exact match (each seed)", "of ceiling", *CONTROLS, "trained", "prefill", "training step"]
    return table(head, rows)


def rates(points: Points) -> str:
    """The search for learning rates, on validation scenes."""
    found: dict[str, dict[str, str]] = {}
    for (name, split), point in points.items():
        if split == "validation":
            method, _, rate = name.partition(" lr ")
            found.setdefault(method, {})[rate] = percent(point.interval(), wide=False)
    columns = sorted({rate for row in found.values() for rate in row}, key=float)
    return table(["row", *columns], [[f"`{name}`", *(row.get(c, "") for c in columns)] for name, row in found.items()])


TABLES: dict[str, Callable[[Points], str]] = {
    "depth": depth("depth"),
    "senses": depth("audio", "video"),
    "models": depth("opt", "deep"),
    "long": depth("long"),
    "methods": methods,
    "controls": controls,
    "data": data,
    "captions": captions,
    "moved": moved,
    "rates": rates,
    "readme": readme,
}

if __name__ == "__main__":
    typer.run(main)
