"""Evaluation: the numbers come from what the model says, and the model is left as it was."""

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import runs
from midstream.building import build
from midstream.cli.evaluate import table
from midstream.data.rows import media_of
from midstream.data.sources import open_rows
from midstream.errors import InputError
from midstream.tasks import evaluation
from midstream.tasks.evaluation import answer, evaluate, untrained
from midstream.tasks.metrics import CAPTION_METRICS
from midstream.tasks.questions import questions_of


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    folder: Path = tmp_path_factory.mktemp("evaluation")
    recipe = runs.tiny_recipe(folder)
    return *build(recipe), open_rows(recipe.data, "validation")


def test_a_batch_answers_as_its_rows_do_one_by_one(parts: Any) -> None:
    model, processor, rows = parts
    prompts = [questions_of(row)[0].messages for row in rows]
    prompts[1] = ({"role": "user", "content": "a much longer question without any picture at all, is it not?"},)
    together = answer(model, processor, prompts, 5)
    assert together == [answer(model, processor, [prompt], 5)[0] for prompt in prompts]


def test_scores_are_those_of_the_answers(parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor, rows = parts
    colours = ["red", "green", "blue", "yellow"]

    def says(model: Any, processor: Any, prompts: Any, max_new_tokens: int) -> list[str]:
        """Knows the colour of what it is shown; without a picture it says blue."""
        said = []
        for prompt in prompts:
            paths = [part["image"] for part in prompt[-1]["content"] if part["type"] == "image"]
            said.append(colours[int(Path(paths[0]).stem.rpartition("-")[2]) % 4] if paths else "Blue.")
        return said

    monkeypatch.setattr(evaluation, "answer", says)
    told: list[tuple[Any, ...]] = []
    result = evaluate(model, processor, rows, batch_size=3, report=lambda *a: told.append(a), recipe="tiny")
    assert result["accuracy"] == 1.0 and result["blind"] == 0.25 and result["n"] == 8
    assert result["shuffled"] < 1.0  # distinct files may show the same colour, so not 0
    assert result["ceiling"] is None and result["by_type"] == {"all": 1.0}
    assert result["provenance"]["recipe"] == "tiny" and len(result["provenance"]["data_hash"]) == 16
    assert told[-1][1] == told[-1][2] == 32
    assert "scores" not in result
    result = evaluate(model, processor, rows, batch_size=3, detailed=True)
    assert result["asked"] == [(row, "all") for row in range(8)] and result["scores"]["accuracy"] == [1.0] * 8
    for name in ("blind", "shuffled", "untrained"):
        assert sum(result["scores"][name]) / 8 == result[name]


def test_untrained_is_another_connector_and_the_trained_one_comes_back(parts: Any) -> None:
    model, _, _ = parts
    before = {name: tensor.detach().clone() for name, tensor in model.trained_tensors().items()}
    with pytest.raises(RuntimeError, match="inside"), untrained(model, seed=5):
        inside = {name: tensor.detach().clone() for name, tensor in model.trained_tensors().items()}
        raise RuntimeError("inside")
    assert any(not torch.equal(before[name], inside[name]) for name in before)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.trained_tensors().items())


def test_nothing_to_ask_and_unknown_metrics_are_refused(parts: Any) -> None:
    model, processor, rows = parts
    with pytest.raises(InputError, match="no rows"):
        evaluate(model, processor, [])
    with pytest.raises(InputError, match="choose one of exact, vqa, f1, bleu1"):
        evaluate(model, processor, rows, metric="bleu")


class Partly(list[Any]):
    """Rows of which some cannot even be made."""

    def __getitem__(self, index: Any) -> Any:
        row = super().__getitem__(index)
        if row is None:
            raise InputError("rows.jsonl:7: field `messages` must be a list")
        return row


def spoiled(row: dict[str, Any], path: str) -> dict[str, Any]:
    user, *others = row["messages"]
    parts = [{**part, "image": path} if part["type"] == "image" else part for part in user["content"]]
    return {**row, "id": Path(path).name, "messages": [{**user, "content": parts}, *others]}


def test_bad_rows_are_left_out_counted_and_told(parts: Any, tmp_path: Path) -> None:
    model, processor, rows = parts
    good = list(rows)[:5]
    (tmp_path / "broken.jpg").write_bytes(Path(media_of(good[0])[0]).read_bytes()[:200])
    bad = [spoiled(good[0], str(tmp_path / "broken.jpg")), spoiled(good[1], str(tmp_path / "gone.jpg")), None]
    told: list[tuple[Any, ...]] = []
    result = evaluate(
        model,
        processor,
        Partly([good[0], bad[0], *good[1:3], bad[1], bad[2], *good[3:]]),
        batch_size=3,
        report=lambda *a: told.append(a),
    )
    without = evaluate(model, processor, good, batch_size=3)
    assert result["n"] == 5 and result["bad"] == 3 and without["bad"] == 0 and without["reasons"] == []
    same = ("accuracy", "blind", "shuffled", "untrained", "by_type")
    assert {name: result[name] for name in same} == {name: without[name] for name in same}
    assert result["reasons"][0].startswith("broken.jpg: ") and "damaged" in result["reasons"][0]
    assert result["reasons"][1].startswith("gone.jpg: ") and "does not exist" in result["reasons"][1]
    assert result["reasons"][2] == "rows.jsonl:7: field `messages` must be a list"
    assert told[-1][1] == told[-1][2]


def test_nothing_but_bad_rows_is_refused(parts: Any) -> None:
    model, processor, rows = parts
    with pytest.raises(InputError, match=r"none of the 2 rows can be used; the first: gone.jpg: .*does not exist"):
        evaluate(model, processor, [spoiled(rows[0], "gone.jpg"), spoiled(rows[1], "gone.jpg")])


def test_a_metric_of_captions_is_told_with_its_like(parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor, rows = parts
    monkeypatch.setattr(evaluation, "answer", lambda model, processor, prompts, longest: ["a red dog"] * len(prompts))
    told = [
        {**row, "answers": [["a red dog", "the red dog sits"] if index % 2 else ["blue sky at night"]], "types": [kind]}
        for index, (row, kind) in enumerate(zip(rows, ["dog", "sky"] * 4, strict=True))
    ]
    result = evaluate(model, processor, told, metric="cider", controls=False, detailed=True)
    assert set(result["metrics"]) == {*CAPTION_METRICS, "length"} and result["metrics"]["length"] == 3.0
    assert (
        result["metrics"]["cider"]
        == result["accuracy"]
        == pytest.approx(sum(result["scores"]["accuracy"]) / 8, abs=1e-4)
    )
    assert result["by_type"]["dog"] == 0.0 < result["accuracy"] < result["by_type"]["sky"]  # kinds were given crosswise
    single = evaluate(model, processor, told, metric="bleu1", controls=False)
    assert single["metrics"] == result["metrics"] and single["accuracy"] == result["metrics"]["bleu1"]
    assert evaluate(model, processor, told, controls=False)["metrics"] == {"exact": 0.5}


def test_the_table_shows_cider_as_it_is_and_shares_in_per_cent() -> None:
    result = {"n": 2, "metric": "cider", "accuracy": 1.234, "by_type": {"all": 1.234}, "blind": None}
    shown = Console(width=80)
    with shown.capture() as text:
        shown.print(table({**result, "metrics": {"bleu4": 0.25, "cider": 1.234, "length": 9.5}}))
    lines = [line for line in text.get().splitlines() if "the model" in line]
    assert [line.split()[-2] for line in lines] == ["1.23", "1.23", "25.0%", "1.23", "9.50"]
    with shown.capture() as text:
        shown.print(table({**result, "metric": "exact", "accuracy": 0.5, "by_type": {}, "metrics": {"exact": 0.5}}))
    assert "50.0%" in text.get()
