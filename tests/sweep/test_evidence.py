"""docs/evidence.md says what results/evidence.parquet holds: every table, every row that a sentence points to."""

import re
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from midstream.report.points import points_of
from midstream.sweep.cells import cells_of
from midstream.sweep.grid import load_grid
from midstream.sweep.results import mixed_parts, read_table

ROOT = Path(__file__).parent.parent.parent
NAME = "evidence"
PAGE = (ROOT / "docs" / f"{NAME}.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPT = runpy.run_path(str(ROOT / "benchmarks" / f"{NAME}.py"))
GRIDS = ("depth", "methods", "controls", "audio", "video", "data", "opt", "deep", "long", "rate")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return read_table(ROOT / "results" / f"{NAME}.parquet")


@pytest.fixture(scope="module")
def points(rows: list[dict[str, Any]]) -> Any:
    return SCRIPT["named"](points_of(rows))


def test_every_table_is_what_the_results_give(points: Any) -> None:
    assert SCRIPT["filled"](PAGE, points) == PAGE and SCRIPT["filled"](README, points) == README
    spoilt = re.sub(r"(\| `depth/deep_insert@4` \| )\d", r"\g<1>9", PAGE, count=1)
    assert spoilt != PAGE and SCRIPT["filled"](spoilt, points) == PAGE  # the control: a changed figure is seen
    assert {name for _, name, _ in SCRIPT["MARK"].findall(PAGE + README)} == set(SCRIPT["TABLES"])


def test_every_sentence_points_to_a_row_that_is_there(points: Any) -> None:
    prose = SCRIPT["MARK"].sub("", PAGE + README)
    named = set(re.findall(r"`((?:depth|methods|controls|audio|video|data|opt|deep|long|rate)/[^`]+)`", prose))
    assert len(named) > 20
    assert named - {name for name, _ in points} == set()


@pytest.mark.parametrize("grid", GRIDS)
def test_every_method_of_a_grid_was_measured_with_its_controls(grid: str, rows: list[dict[str, Any]]) -> None:
    wanted = {cell.method for cell in cells_of(load_grid(grid))}
    found = [row for row in rows if row["grid"] == grid and row["split"] == "test" and row["kind"] == "all"]
    assert {row["method"] for row in found} == wanted
    conditions: dict[str, set[str]] = {}
    for row in found:
        conditions.setdefault(row["method"], set()).add(row["condition"])
    for method, known in conditions.items():
        assert known >= {"accuracy", "blind", "ceiling", "shuffled", "untrained"}, method


def test_the_quick_study_measures_the_same_methods_as_the_full_one() -> None:
    full = {cell.name: cell.recipe for grid in GRIDS for cell in cells_of(load_grid(grid))}
    for cell in cells_of(load_grid("quick")):
        sense, at, layer = cell.method.partition("@")
        name = f"{sense},deep_insert{at}{layer},seed=0" if sense in ("audio", "video") else cell.name
        assert cell.recipe == full[name], name


def test_learning_rates_are_the_best_of_the_search_and_the_search_saw_no_test_scene(rows: list[dict[str, Any]]) -> None:
    searched: dict[tuple[str, str], dict[float, float]] = {}
    for row in rows:
        if row["split"] == "validation" and row["kind"] == "all":
            searched.setdefault((row["grid"], row["method"]), {})[row["learning_rate"]] = row["value"]
    assert len(searched) > 10 and all(len(tried) > 1 for tried in searched.values())
    for (grid, method), tried in searched.items():
        used = {row["learning_rate"] for row in rows if _is_test(row, grid, method)}
        assert used == {max(tried, key=lambda rate: tried[rate])}, (grid, method)
    assert not {row["cell"] for row in rows if row["split"] == "validation"} & {
        row["cell"] for row in rows if row["split"] == "test"
    }


def _is_test(row: Mapping[str, Any], grid: str, method: str) -> bool:
    return bool(row["split"] == "test" and (row["grid"], row["method"]) == (grid, method))


def test_all_of_it_is_about_the_same_models_scenes_and_questions(rows: list[dict[str, Any]]) -> None:
    assert mixed_parts(rows) == []
    sets: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        if row["kind"] == "all" and row["split"] != "validation":
            sets.setdefault((row["data"], row["split"]), set()).add(row["question_set"])
    assert all(len(found) == 1 for found in sets.values())
    assert {row["machine"] for row in rows} and all(row["revision"] and row["command"] for row in rows)
