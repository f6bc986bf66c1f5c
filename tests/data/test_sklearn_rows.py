"""scikit-learn's data as rows: splits, statistics in the shipped recipes, and the recipes themselves."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from midstream.data import sklearn_rows
from midstream.data.formats import read_jsonl
from midstream.errors import InputError
from midstream.recipe import load_recipe
from pages import run_line

datasets = pytest.importorskip("sklearn.datasets")
PAGE = Path(__file__).parent.parent.parent / "docs" / "real_data.md"
NAMES = ("digits", "wine", "breast_cancer")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("real")
    for name in NAMES:
        sklearn_rows.write_rows(name, folder / "data" / name)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_every_item_is_in_one_split_and_answers_are_the_labels(desk: Path, name: str) -> None:
    bunch = getattr(datasets, f"load_{name}")()
    seen: list[int] = []
    words: dict[int, set[str]] = {}
    for split, share in zip(sklearn_rows.SPLITS, (0.7, 0.1, 0.2), strict=True):
        rows = list(read_jsonl(desk / "data" / name / f"{split}.jsonl"))
        assert abs(len(rows) / len(bunch.target) - share) < 0.02
        for row in rows:
            index = int(row["id"].rpartition("-")[2])
            seen.append(index)
            words.setdefault(int(bunch.target[index]), set()).add(row["messages"][1]["content"])
    assert sorted(seen) == list(range(len(bunch.target)))
    assert all(len(said) == 1 for said in words.values()) and len(words) == len(bunch.target_names)
    if name == "digits":
        assert [words[digit].pop() for digit in range(10)] == list(sklearn_rows.DIGITS)
    if name == "breast_cancer":
        assert {str(bunch.target_names[label]): said.pop() for label, said in words.items()} == {
            "malignant": "yes",
            "benign": "no",
        }


def test_a_picture_is_its_digit_enlarged(desk: Path) -> None:
    bunch = datasets.load_digits()
    for index in (0, 777):
        enlarged = Image.open(desk / f"data/digits/pictures/{index:04d}.png")
        picture = np.asarray(enlarged.resize((8, 8), Image.Resampling.BOX))
        assert np.corrcoef(picture.ravel(), bunch.images[index].ravel())[0, 1] > 0.97
        assert np.corrcoef(picture.ravel(), bunch.images[index + 1].ravel())[0, 1] < 0.9  # control


def test_splits_are_the_same_each_time_and_class_by_class() -> None:
    target = np.repeat([0, 1, 2], (50, 30, 20))
    parts = sklearn_rows.split_by_class(target)
    assert parts == sklearn_rows.split_by_class(target) != sklearn_rows.split_by_class(target, seed=1)
    assert [np.bincount(target[part]).tolist() for part in parts] == [[35, 21, 14], [5, 3, 2], [10, 6, 4]]


@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
def test_recipes_hold_the_statistics_of_the_training_rows(desk: Path, name: str) -> None:
    columns = load_recipe(name).modalities["table"].options["columns"]
    written = json.loads((desk / "data" / name / "columns.json").read_text())
    assert columns.keys() == written.keys() and all(columns[key] == pytest.approx(written[key]) for key in columns)


def test_the_page_runs_in_seconds(desk: Path) -> None:
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    assert len(lines) > 8
    with contextlib.chdir(desk):
        for line in lines:
            run_line(line)
    assert all((desk / "runs" / name / "model.safetensors").is_file() for name in NAMES)


def test_other_names_and_a_missing_library_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no data set 'iris'"):
        sklearn_rows.write_rows("iris", tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        sklearn_rows.write_rows("wine", tmp_path)
    assert sklearn_rows.main(["wine", "--out", str(tmp_path)]) == 2
