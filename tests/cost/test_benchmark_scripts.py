"""The benchmark scripts run through at toy size; both sides of every pair do the same work, or the scripts say so."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from transformers import OPTConfig

SCRIPTS = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.fixture
def shape(tmp_path: Path) -> str:
    """An OPT of four layers."""
    sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
    config = OPTConfig(vocab_size=99, ffn_dim=64, max_position_embeddings=256, **sizes)
    (tmp_path / "opt.json").write_text(json.dumps(config.to_dict()))
    return str(tmp_path / "opt.json")


def run(script: str, out: Path, **options: Any) -> dict[str, Any]:
    runpy.run_path(str(SCRIPTS / f"{script}.py"))["main"](out=out, **options)
    return json.loads(out.read_text())


def test_engine_cost(shape: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run("engine_cost", tmp_path / "out.json", lm=shape, text=8, tokens=5, rounds=1)
    assert list(found["pairs"]) == ["idle", "entry at 0", "entry at 2"]
    for pair in found["pairs"].values():
        assert pair["logits_differ_by"] < 1e-4 and pair["decode"]["ratio"]["median"] > 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found


def test_entry_depth(shape: str, tmp_path: Path) -> None:
    options = {"text": 8, "tokens": 16, "rounds": 1, "llava": False}
    found = run("entry_depth", tmp_path / "out.json", lm=shape, depths=True, **options)
    assert found["reached"]["training_memory_saved_at_half"] > 0.1
    assert set(found["reached"]["measured_over_ledger"]) == {"prefill", "train"}
