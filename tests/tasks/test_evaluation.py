"""Evaluation: the numbers come from what the model says, and the model is left as it was."""

from pathlib import Path
from typing import Any

import pytest
import torch

import runs
from midstream.building import build
from midstream.data.sources import open_rows
from midstream.errors import InputError
from midstream.tasks import evaluation
from midstream.tasks.evaluation import answer, evaluate, untrained
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
    with pytest.raises(InputError, match="choose one of exact, vqa, f1"):
        evaluate(model, processor, rows, metric="bleu")
