"""`midstream train --cache`: where the cache lies, what is told of it, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import runs
from midstream.cli import app


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("cache-cli")
    (folder / "tiny.yaml").write_text(runs.tiny_recipe(folder / "parts").to_yaml())
    return folder / "tiny.yaml"


def train(recipe: Path, out: Path, *options: Any) -> Result:
    return CliRunner().invoke(app, ["train", str(recipe), "--out", str(out), "--json", *map(str, options)])


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def refused(result: Result, said: str) -> None:
    assert result.exit_code == 2, result.output
    assert re.search(said, json.loads(result.stdout.splitlines()[-1])["error"])
    assert "Traceback" not in result.stderr


def test_the_options_of_the_cache(recipe: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    plain = told(train(recipe, tmp_path / "plain"))
    states = told(train(recipe, tmp_path / "states", "--cache", "states", "--cache-dir", kept))
    assert states["loss"] == plain["loss"] and states["cache"] == str(kept) and "cache" not in plain
    assert (kept / "origin.json").is_file()
    features = ["--cache", "features", "--cache-dir", kept]
    refused(train(recipe, tmp_path / "features", *features), "made with cache of states, this run has features")
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "plain", "states"}
    told(train(recipe, tmp_path / "features", *features, "--rebuild-cache"))
    assert (
        "the cache took"
        in CliRunner().invoke(app, ["train", str(recipe), "--out", str(tmp_path / "again"), *map(str, features)]).stdout
    )


def test_wrong_options_are_told(recipe: Path, tmp_path: Path) -> None:
    refused(
        train(recipe, tmp_path / "out", "--cache", "tokens"), r"`training\.cache` is 'tokens'; .*'none', 'features' or"
    )
    refused(train(recipe, tmp_path / "out", "--cache-dir", tmp_path / "kept"), "need a cache; add --cache features")
    inside = tmp_path / "out" / "kept"
    refused(train(recipe, tmp_path / "out", "--cache", "states", "--cache-dir", inside), "lies in the model's folder")
    assert list(tmp_path.iterdir()) == []
