"""The report of a results table: one HTML page that needs nothing but itself, and its figures as PNGs."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from midstream.errors import InputError
from midstream.report.figures import figures_of
from midstream.report.points import Point, conditions_of, points_of
from midstream.report.statistics import difference
from midstream.sweep.results import mixed_parts, read_table

HEADINGS = {
    "depth": ("Accuracy against depth", "Bands and bars are 95% intervals over scenes; small dots are single seeds."),
    "cost": ("Accuracy against cost", "Nothing lies above and to the left of the grey line. Bars are 95% intervals."),
    "data": ("Data efficiency", "The same number of steps on fewer training rows. Bands are 95% intervals."),
    "controls": ("Beside the controls", "A method that sees nothing would lie on blind, shuffled and untrained."),
}
SCALED = (
    ("enter", "enters", 1.0, "{:.0f}"),
    ("tokens", "tokens", 1.0, "{:.0f}"),
    ("trained_parameters", "trained", 1.0, "{:,.0f}"),
    ("train_seconds", "training s", 1.0, "{:.0f}"),
    ("prefill_ms", "first token ms", 1.0, "{:.2f}"),
    ("prefill_of_entry_0", "prefill of entry 0", 100.0, "{:.0f}%"),
    ("train_step_of_entry_0", "step of entry 0", 100.0, "{:.0f}%"),
    ("kv_of_entry_0", "cache of entry 0", 100.0, "{:.0f}%"),
)
Cell = dict[str, str]


def write_report(table: Path, out: Path) -> list[Path]:
    """Write the page, and beside it each figure as `OUT-depth.png` and so on; returns what was written.

    Args:
        table: a Parquet file of `midstream sweep`; nothing else is read.
        out: the HTML file.

    Raises:
        InputError: no such table, an empty one, no matplotlib or jinja2, or a place that cannot be written.
    """
    rows = read_table(table)
    if not rows:
        raise InputError(f"{table} has no rows yet; a cell appears in it when it is done")
    points = points_of(rows)
    pictures: dict[str, bytes] = {}
    for name, figure in figures_of(points).items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": "midstream"})
        pictures[name] = buffer.getvalue()
    page = _page(table.stem, rows, points, pictures)
    files: list[Path] = [out, *(out.with_name(f"{out.stem}-{name}.png") for name in pictures)]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for path, content in zip(files, [page.encode(), *pictures.values()], strict=True):
            path.write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write {out} ({error.strerror}); choose another --out") from None
    return files


def _page(title: str, rows: Sequence[Mapping[str, Any]], points: Sequence[Point], pictures: dict[str, bytes]) -> str:
    try:
        from jinja2 import Environment
    except ImportError:
        raise InputError("a report needs jinja2; install it with: pip install 'midstream[plots]'") from None
    template = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    cells, seeds = {row["cell"] for row in rows}, sorted({row["seed"] for row in rows})
    shown = [
        {"heading": HEADINGS[name][0], "caption": HEADINGS[name][1], "png": base64.b64encode(png).decode()}
        for name, png in pictures.items()
    ]
    return (
        Environment(autoescape=True)
        .from_string(template)
        .render(
            title=title,
            summary=f"{len(cells)} cells, seeds {', '.join(map(str, seeds))}; {len(rows)} rows.",
            mixed=mixed_parts(rows),
            figures=shown,
            tables=[*_tables(points), *_kinds(points)],
            sources=_sources(rows),
        )
    )


def _tables(points: Sequence[Point]) -> list[dict[str, Any]]:
    """For each panel and split: every setting with all controls, its distance to the best one, and its costs."""
    tables = []
    for panel, split in dict.fromkeys((point.panel, point.split) for point in points):
        chosen = [point for point in points if (point.panel, point.split) == (panel, split)]
        named = conditions_of(chosen)
        best = max(chosen, key=lambda point: found.value if (found := point.interval()) else 0.0)
        metric, count = chosen[0].first["metric"], chosen[0].first["n"]
        rows = []
        for point in chosen:
            scores = [_score(point, name) for name in named]
            costs = [_figure(point.mean(column), unit, form) for column, _, unit, form in SCALED]
            bad = _figure(point.mean("bad"), 1.0, "{:.0f}")
            rows.append([_text(point.label), *scores, _behind(point, best), *costs, bad, _text(str(len(point.seeds)))])
        columns = ["", *named, "behind the best", *(words for _, words, _, _ in SCALED), "bad rows", "seeds"]
        caption = f"Score ({metric}) in % of {count} questions, with 95% intervals over scenes, mean over seeds."
        tables.append({"heading": f"{panel}: {split}", "caption": caption, "columns": columns, "rows": rows})
    return tables


def _kinds(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Accuracy by kind of question."""
    tables = []
    for panel, split in dict.fromkeys((point.panel, point.split) for point in points):
        chosen = [point for point in points if (point.panel, point.split) == (panel, split)]
        kinds = list(dict.fromkeys(kind for point in chosen for kind in point.kinds))
        if kinds:
            rows = [[_text(p.label), *(_figure(p.kinds.get(kind), 100.0, "{:.1f}") for kind in kinds)] for p in chosen]
            heading, caption = f"{panel}: {split}, by kind of question", "Score of the trained model in %."
            tables.append({"heading": heading, "caption": caption, "columns": ["", *kinds], "rows": rows})
    return tables


def _score(point: Point, condition: str) -> Cell:
    found = point.interval(condition)
    if found is None:
        return _text("")
    return {"text": f"{100 * found.value:.1f}", "range": f"{100 * found.low:.1f} to {100 * found.high:.1f}"}


def _behind(point: Point, best: Point) -> Cell:
    """How far a setting is below the best one, on the same questions."""
    ours, theirs = point.rows.get("accuracy", []), best.rows.get("accuracy", [])
    sets = {row["question_set"] for row in (*ours, *theirs)}
    if point is best or len(sets) != 1 or not all(row["scores"] for row in (*ours, *theirs)):
        return _text("")
    found = difference([r["scores"] for r in theirs], [r["scores"] for r in ours], theirs[0]["scenes"])
    return {"text": f"{100 * found.value:.1f}", "range": f"{100 * found.low:.1f} to {100 * found.high:.1f}"}


def _figure(value: float | None, unit: float, form: str) -> Cell:
    return _text("" if value is None else form.format(unit * value))


def _text(text: str) -> Cell:
    return {"text": text, "range": ""}


def _sources(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Revisions, versions, machines and commands, each once."""
    lines = []
    for name, words in (("revision", "revision"), ("command", "command")):
        lines += [f"{words}: {value}" for value in dict.fromkeys(row[name] for row in rows) if value]
    for name in ("versions", "machine"):
        for value in dict.fromkeys(row[name] for row in rows):
            facts = json.loads(value)
            lines.append(f"{name}: " + ", ".join(f"{key} {fact}" for key, fact in facts.items() if fact is not None))
    dates = sorted(row["date"] for row in rows)
    clocks = dict.fromkeys(row["clock"] for row in rows if row["clock"])
    lines += [f"clock of the first token: {clock}" for clock in clocks]
    return [*lines, f"measured from {dates[0]} to {dates[-1]}"]
