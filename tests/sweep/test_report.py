"""The report: from the table alone, whole in one file, and true to it."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tables import cell, study
from typer.testing import CliRunner

from midstream.cli import app
from midstream.errors import InputError
from midstream.report.figures import figures_of
from midstream.report.page import write_report
from midstream.report.points import conditions_of, points_of
from midstream.sweep.results import read_table, write_table


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("report")
    write_table(folder / "study.parquet", study())
    result = CliRunner().invoke(app, ["report", str(folder / "study"), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout.splitlines()[-1])
    assert told["page"] == str(folder / "study.html")
    assert [Path(path).name for path in told["figures"]] == [
        f"study-{name}.png" for name in ("depth", "cost", "data", "controls")
    ]
    return folder / "study.html"


def written(folder: Path, rows: list[dict[str, Any]]) -> tuple[str, list[Path]]:
    folder.mkdir()
    write_table(folder / "some.parquet", rows)
    files = write_report(folder / "some.parquet", folder / "some.html")
    return files[0].read_text(), files[1:]


def test_the_table_comes_back_as_it_was(page: Path) -> None:
    rows, back = study(), read_table(page.with_suffix(".parquet"))
    assert len(back) == len(rows) and list(back[0]) == list(rows[0])
    assert back[0]["scores"] == rows[0]["scores"] and back[0]["settings"] == rows[0]["settings"]


def test_the_page_needs_nothing_but_itself(page: Path) -> None:
    text = page.read_text()
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text) and "http" not in text and "<script" not in text
    for name in ("depth", "cost", "data", "controls"):
        png = page.with_name(f"study-{name}.png")
        assert base64.b64encode(png.read_bytes()).decode() in text
        with Image.open(png) as picture:
            assert picture.width > 800 and len(set(picture.convert("L").resize((64, 64)).tobytes())) > 8
    assert sorted(path.name for path in page.parent.iterdir() if path.suffix != ".png") == [
        "study.html",
        "study.parquet",
    ]


def test_it_says_what_the_table_says(page: Path) -> None:
    points = points_of(study())
    assert len(points) == 2 * (8 + 1 + 3)  # seeds are one point
    text = page.read_text()
    for point in points:
        assert point.seeds == [0, 1, 2]
        for condition in ("accuracy", "ceiling", "blind", "shuffled", "untrained"):
            found = point.interval(condition)
            assert found is not None and found.low <= found.value <= found.high
            assert f">{100 * found.value:.1f} <span" in text
        assert f">{point.label}<" in text
    labels = {point.label for point in points}
    assert {"deep_insert, layer 4", "ep_alm, 10% of the data"} <= labels
    assert "midstream sweep grid" in text and "torch 2.13.0" in text


def test_the_same_table_gives_the_same_page_and_another_table_another(tmp_path: Path) -> None:
    rows = cell(0.8, n=40) + cell(0.5, n=40, settings=json.dumps({"layer": 6}), enter=6)
    first, _ = written(tmp_path / "a", rows)
    assert written(tmp_path / "b", rows)[0] == first
    rows[0] = rows[0] | {"scores": [1.0] * 40, "value": 1.0}
    assert written(tmp_path / "c", rows)[0] != first


def test_figures_are_those_that_the_table_allows(tmp_path: Path) -> None:
    assert [path.name for path in written(tmp_path / "one", cell(0.8, n=20))[1]] == ["some-controls.png"]
    depths = cell(0.8, n=20) + cell(0.5, n=20, enter=6, settings=json.dumps({"layer": 6}))
    assert [path.name for path in written(tmp_path / "two", depths)[1]] == ["some-depth.png", "some-controls.png"]


def test_figures_show_curves_and_not_the_search_that_went_before() -> None:
    rows: list[dict[str, Any]] = []
    for lm in ("one", "two", "three", "four"):
        for enter in (0, 4):
            facts = {"lm": lm, "enter": enter, "settings": json.dumps({"layer": enter})}
            rows += cell(0.5, **facts, method="moving") + cell(0.4, **facts, method="moving", split="validation")
        rows += cell(0.9, lm=lm, enter=2, method="fixed")
    figures = figures_of(points_of(rows))
    shown = [axes for axes in figures["depth"].axes if axes.get_visible()]
    assert len(shown) == 4 and len({axes.get_position().x0 for axes in shown}) == 3  # three across, one below
    assert not any("validation" in axes.get_title(loc="left") for axes in shown)
    drawn = {line.get_label() for axes in shown for line in axes.get_lines()}
    assert "moving" in drawn and "fixed" not in drawn
    searched = figures_of(points_of([row for row in rows if row["split"] == "validation"]))
    assert len([axes for axes in searched["depth"].axes if axes.get_visible()]) == 4  # the control: nothing else there


def test_only_what_was_trained_as_long_stands_in_one_panel() -> None:
    def titles(steps: int) -> set[str]:
        rows = [row for enter in (0, 4) for row in cell(0.5, enter=enter, settings=json.dumps({"layer": enter}))]
        rows += [row for enter in (0, 4) for row in cell(0.6, enter=enter, steps=steps, method=f"long@{enter}")]
        rows += cell(0.4, split="validation", steps=7)  # a search is of another split, which divides nothing
        for row in rows:
            row.update(batch_size=8, steps=row["steps"] or 130)
        shown = figures_of(points_of(rows))["depth"].axes
        return {axes.get_title(loc="left") for axes in shown if axes.get_visible()}

    assert titles(300) == {f"pocket pictures, pocket, {steps} steps of 8: test" for steps in (130, 300)}
    assert titles(130) == {"pocket pictures, pocket: test"}  # the control


def test_two_grids_with_one_method_at_one_layer_are_two_lines() -> None:
    def labels(other: int) -> set[str]:
        rows = [row for enter in (0, 4) for row in cell(0.5, enter=enter, grid="depth", method=f"deep_insert@{enter}")]
        for enter in (other, other + 2):
            rows += cell(
                0.6, enter=enter, grid="rate", method=f"deep_insert@{enter}", settings=json.dumps({"rate": "other"})
            )
        points = points_of(rows)
        shown = figures_of(points)["depth"].axes[0].get_legend_handles_labels()[1]
        return {name for name in shown if name.startswith("deep")} | {point.label for point in points}

    assert {"deep_insert", "deep_insert (rate)", "deep_insert@4, rate other", "deep_insert@4"} <= labels(4)
    apart = labels(5)  # the control: no layer is in both, and no axis tells them apart
    assert {"deep_insert", "deep_insert@5"} <= apart and "deep_insert (rate)" not in apart


def test_panels_are_as_high_as_what_stands_in_them() -> None:
    rows = [row for number in range(20) for row in cell(0.5, n=20, method=f"way {number}", lm="one")]
    rows += [row for lm in ("two", "three", "four") for row in cell(0.5, n=20, lm=lm)]
    figure = figures_of(points_of(rows))["controls"]
    figure.canvas.draw()
    many, few, _, alone = (axes.get_position().height for axes in figure.axes if axes.get_visible())
    assert many == pytest.approx(few) and many > 3 * alone  # those of one row are alike: the control


def test_a_legend_is_no_wider_than_the_figure() -> None:
    rows: list[dict[str, Any]] = []
    for method in ("a way in with a long name", "another one", "deep_insert", "ep_alm"):
        for share in (0.01, 0.1, 1.0):
            settings = json.dumps({"method": method, "fraction": share})
            rows += cell(0.5, method=method, data_fraction=share, settings=settings)
    for figure in figures_of(points_of(rows)).values():
        figure.canvas.draw()
        found = figure.legends[0].get_window_extent()
        assert found.x0 >= 0 and found.x1 <= figure.bbox.width
        names = [text.get_text() for text in figure.legends[0].get_texts()]
        wide = figure.legend(figure.legends[0].legend_handles, names, ncols=9)
        figure.canvas.draw()
        assert wide.get_window_extent().width > found.width  # the control


def test_further_conditions_and_other_weights_are_shown(tmp_path: Path) -> None:
    rows = cell(0.8, n=20)
    rows.append(rows[0] | {"condition": "random features", "scores": [0.0] * 20, "value": 0.0})
    assert conditions_of(points_of(rows))[-1] == "random features"
    text, _ = written(tmp_path / "more", rows)
    assert ">random features<" in text and "other weights" not in text
    rows[1] = rows[1] | {"parts": json.dumps({"language model pocket": "xyz"})}
    assert "language model pocket had other weights" in written(tmp_path / "mixed", rows)[0]


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    text, _ = written(tmp_path / "odd", cell(0.5, n=20, method="<script>alert(1)</script>"))
    assert "<script>" not in text and "&lt;script&gt;" in text


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no results table"):
        write_report(tmp_path / "none.parquet", tmp_path / "none.html")
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(InputError, match="is no Parquet table"):
        write_report(tmp_path / "text.parquet", tmp_path / "text.html")
    write_table(tmp_path / "empty.parquet", [])
    with pytest.raises(InputError, match="has no rows yet"):
        write_report(tmp_path / "empty.parquet", tmp_path / "empty.html")
