"""The benchmark scripts of the cache run through at toy size, and find what they are to find.

Two of them take minutes and run when asked for:  MIDSTREAM_BENCHMARKS=all pytest tests/cache -m slow
"""

import json
import os
import runpy
from pathlib import Path
from typing import Any

import pytest

import runs

minutes = pytest.mark.skipif(
    os.environ.get("MIDSTREAM_BENCHMARKS") != "all", reason="minutes; run with MIDSTREAM_BENCHMARKS=all"
)

SCRIPTS = Path(__file__).parent.parent.parent / "benchmarks"


def run(script: str, command: str, out: Path, **options: Any) -> dict[str, Any]:
    runpy.run_path(str(SCRIPTS / f"{script}.py"))[command](out=out, **options)
    return json.loads(out.read_text())


@pytest.mark.slow
def test_steps_from_a_cache_have_the_same_loss(tmp_path: Path) -> None:
    found = run("train_from_cache", "step", tmp_path / "out.json", sizes="32x4", rounds=1, tiny=True)["step"]["cells"][
        0
    ]
    assert found["caches"] and all(cell["loss_difference"] == 0 for cell in found["caches"].values())
    assert set(found["seconds"]) == set(found["times_as_fast"]) and len(found["seconds"]) == 11


@pytest.mark.slow
@minutes
def test_runs_of_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(runs.tiny_recipe(tmp_path / "parts").to_yaml())
    options = {
        "name": str(tmp_path / "tiny.yaml"),
        "n": 2,
        "settings": ["data.test=" + str(tmp_path / "parts/data/validation.jsonl")],
    }
    cells = run("train_from_cache", "recipe", tmp_path / "out.json", **options)["recipe"]["cells"]
    assert len({cell["loss"] for cell in cells if cell["precision"] == "exact"}) == 1


@pytest.mark.slow
@minutes
def test_equality(tmp_path: Path) -> None:
    found = run("cache_equality", "main", tmp_path / "out.json", only="llama,opt")
    assert found["summary"] == {"driven": 2, "logits_equal": 2, "states_equal": 2, "largest_states_difference": 0}
