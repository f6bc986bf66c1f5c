"""What ships: the language model reads, the encoder loads, both say where they come from, all of it is small."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from midstream import pocket
from midstream.pocket.lm_evaluation import Asked, described_scenes, generated, teacher_forced


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


@pytest.mark.parametrize("folder", [pocket.lm_path(), pocket.encoder_path()], ids=["lm", "encoder"])
def test_provenance_says_how_to_make_it_again(folder: Any) -> None:
    record = json.loads((folder / "provenance.json").read_text())
    assert record["command"].startswith("python -m midstream.pocket.pretrain")
    assert {"seed", "versions", "machine", "minutes", "steps", "metrics"} <= set(record)
    assert "/" not in record["command"]


def test_all_weights_together_are_small() -> None:
    files = [
        path for folder in (pocket.lm_path(), pocket.encoder_path()) for path in folder.rglob("*") if path.is_file()
    ]
    assert sum(path.stat().st_size for path in files) < 40e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".jinja", ".txt"}  # nothing that needs pickle
