"""The benchmark scripts run through at toy size; both sides of every pair do the same work, or the scripts say so."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from transformers import OPTConfig
from typer.testing import CliRunner

from midstream.cli import app

SCRIPTS = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.fixture
def shape(tmp_path: Path) -> str:
    """An OPT of four layers."""
    sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
    config = OPTConfig(vocab_size=99, ffn_dim=64, max_position_embeddings=256, **sizes)
    (tmp_path / "opt.json").write_text(json.dumps(config.to_dict()))
    return str(tmp_path / "opt.json")


def names(script: str) -> dict[str, Any]:
    return runpy.run_path(str(SCRIPTS / f"{script}.py"))


def run(script: str, out: Path, **options: Any) -> dict[str, Any]:
    names(script)["main"](out=out, **options)
    return json.loads(out.read_text())


class Here:
    """The scripts' `midstream`, in this process: trainings are one step on a few scenes, everything is written down."""

    SMALL = ("training.steps=1", "training.batch_size=4", "data.scenes=8", "training.log_every=1")

    def __init__(self) -> None:
        self.called: list[list[str]] = []

    def __call__(self, *arguments: str) -> Any:
        self.called.append(list(arguments))
        small = [word for change in self.SMALL for word in ("--set", change)] if arguments[0] == "train" else []
        result = CliRunner().invoke(app, [*arguments, *small, "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout.splitlines()[-1])

    def times(self, command: str) -> int:
        return sum(arguments[0] == command for arguments in self.called)


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


def test_pocket_worlds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main, here, out = names("pocket_worlds")["main"], Here(), tmp_path / "out.json"
    monkeypatch.setitem(main.__globals__, "midstream", here)
    options: dict[str, Any] = {"n": 2, "runs": tmp_path / "runs", "out": out, "changes": ["training.lr=0.001"]}
    main("molecules", layers="2", **options)
    before = json.loads(out.read_text())["entries"]
    main("molecules", layers="2,molecule=6", **options)
    found = json.loads(out.read_text())["entries"]
    assert list(found) == ["2 (training.lr=0.001)", "molecule=6 (training.lr=0.001)"]
    assert here.times("train") == 2 and found["2 (training.lr=0.001)"] == before["2 (training.lr=0.001)"]
    for entry, layer in zip(found.values(), (2, 6), strict=True):
        assert entry["layers"] == {"molecule": layer} and entry["test"]["n"] == entry["held_out"]["n"] == 2
        assert {"accuracy", "ceiling", "blind", "shuffled", "untrained"} <= set(entry["test"])
    saved = [json.loads(path.read_text()) for path in sorted((tmp_path / "runs").glob("*/config.json"))]
    assert [one["modalities"]["molecule"]["schedule"]["enter"] for one in saved] == [2, 6]
    main("molecules", layers="2", again=True, **options)
    assert here.times("train") == 3  # the control: what is there is left alone only where nobody asks for it again


def test_one_frame(tmp_path: Path) -> None:
    found = run("one_frame", tmp_path / "out.json", n=4)
    assert found["n"] == sum(found["questions"].values()) == 4
    conditions = ("accuracy", "one_frame", "blind", "shuffled", "untrained", "ceiling")
    assert all(set(found[name]) >= {"all", *found["questions"]} for name in conditions)
    shares = names("one_frame")["shares"]
    told = shares([1.0, 0.0, 1.0, 1.0], ["direction", "direction", "collision", "colour"])
    assert told["all"] == (0.75, 0.4244) and told["motion"] == (0.6667, 0.5334) and told["frame"] == (1.0, 0.0)
    assert told["direction"] == (0.5, 0.693) and told["direction"] != told["motion"]


def test_real_molecules(tmp_path: Path) -> None:
    found = run("real_molecules", tmp_path / "out.json", questions=1)
    shares = [said.split("/") for said in found["molecules"].values()]
    assert found["n"] == sum(int(asked) for _, asked in shares) == 60
    assert sum(float(right) for right, _ in shares) == pytest.approx(found["accuracy"] * 60, abs=0.01)
    assert min(found["accuracy"], found["ceiling"]) > 0.8 > 0.65 > max(found["blind"], found["shuffled"])


def test_read_once(tmp_path: Path) -> None:
    (result,) = run("read_once", tmp_path / "out.json", texts="8", rounds=1)["results"]
    assert result["text"] == 8 and result["layer"] * 2 == result["layers"] == 12
    assert set(result["seconds"]) == {"encoder", "first", "second"} and result["second_over_first"]["median"] > 0
    ratios = result["second_over_promised"]  # more is promised by layers than by columns
    assert ratios["by_layers"]["median"] > ratios["by_columns"]["median"] > 0
