"""What ships: the language model reads, the encoder loads, both say where they come from, all of it is small."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from midstream import MidstreamForCausalLM, MidstreamProcessor, pocket
from midstream.building import build_model
from midstream.data.sources import open_rows
from midstream.pocket.lm_evaluation import Asked, described_scenes, generated, teacher_forced
from midstream.recipe import load_recipe
from midstream.tasks.evaluation import evaluate


@pytest.fixture(scope="module")
def lm() -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(pocket.lm_path()).eval(), AutoTokenizer.from_pretrained(
        pocket.lm_path()
    )


def test_the_lm_answers_described_scenes_and_only_by_reading_them(lm: tuple[Any, Any]) -> None:
    rows = described_scenes("test", 40, 5, seed=3)
    assert teacher_forced(*lm, rows)["all"] > 0.93
    told_another = [
        Asked(other.description, row.questions) for row, other in zip(rows, rows[1:] + rows[:1], strict=True)
    ]
    assert teacher_forced(*lm, told_another)["all"] < 0.6  # control


def test_generation_ends_by_itself_at_the_end_of_the_answer(lm: tuple[Any, Any]) -> None:
    model, tokenizer = lm
    rows = [Asked(row.description, row.questions[:2]) for row in described_scenes("test", 12, 3, seed=5)]
    assert generated(model, tokenizer, rows)["all"] > 0.8
    prompt = tokenizer("a small red ring at top.\nQuestion: where is the ring?\nAnswer:", return_tensors="pt")
    prompt.pop("token_type_ids", None)
    said = model.generate(**prompt, max_new_tokens=20, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(said) == " top\n"


def test_the_encoder_loads_through_the_auto_classes() -> None:
    from transformers import AutoImageProcessor, AutoModel

    processor = AutoImageProcessor.from_pretrained(pocket.encoder_path())
    encoder = AutoModel.from_pretrained(pocket.encoder_path(), add_pooling_layer=False).eval()
    pictures = [pocket.render(pocket.scene_of("test", i), i) for i in range(3)]
    with torch.no_grad():
        out = encoder(**processor(pictures, return_tensors="pt"), output_hidden_states=True)
    assert out.last_hidden_state.shape == (3, 65, 128)
    assert len(out.hidden_states) == 7
    assert not torch.allclose(out.last_hidden_state[0], out.last_hidden_state[1])


PARTS = [*map(pocket.lm_path, pocket.lm_names()), *(pocket.encoder_path(medium) for medium in pocket.encoder_media())]


@pytest.mark.parametrize("folder", PARTS, ids=lambda folder: folder.name)
def test_provenance_says_how_to_make_it_again(folder: Path) -> None:
    record = json.loads((folder / "provenance.json").read_text())
    assert record["command"].startswith("python -m midstream.pocket.pretrain")
    assert {"seed", "versions", "machine", "minutes", "steps", "metrics"} <= set(record)
    assert "/" not in record["command"]


def test_all_weights_together_are_small() -> None:
    files = [path for path in pocket.lm_path().parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 80e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".jinja", ".txt", ".yaml"}  # no pickle


def test_nothing_that_ships_or_is_saved_names_a_folder_of_this_machine() -> None:
    for path in pocket.lm_path().parent.rglob("*.json"):
        named = re.findall(r'"(?:_name_or_path|lm|encoder|name)": "(/[^"]*)"', path.read_text())
        assert not named, (path, named)
    model = build_model(load_recipe("deep_insert"))
    here = str(pocket.lm_path().parent)
    assert here not in model.config.to_json_string()
    assert here in model.lm.config.to_json_string(use_diff=False)  # the control: the LM itself knows where it lies


@pytest.mark.parametrize("name", pocket.model_names())
def test_every_shipped_model_loads_and_answers(name: str) -> None:
    model, processor = MidstreamForCausalLM.from_pretrained(name), MidstreamProcessor.from_pretrained(name)
    recipe = load_recipe(pocket.model_path(name) / "recipe.yaml")
    result = evaluate(model, processor, open_rows(recipe.data, "test", 32), controls=False)
    assert result["accuracy"] > 0.45 and result["bad"] == 0  # blind, all of them are below 0.4
