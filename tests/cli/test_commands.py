"""The commands as a user meets them: what stands on stdout, what on stderr, and with which exit code they end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import runs
from midstream import __version__
from midstream.cli import app
from midstream.recipe import load_recipe, parse_recipe, shipped_names
from midstream.smoke.samples import FILES, sample


def midstream(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def last_json(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def refused(result: Result, said: str) -> None:
    """Exit code 2, one sentence on stderr, nothing on stdout, no traceback."""
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and re.search(said, lines[0]), result.stderr
    assert result.stdout == "" and "Traceback" not in result.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("cli")
    (folder / "tiny.yaml").write_text(runs.tiny_recipe(folder / "parts").to_yaml())
    told = last_json(midstream("train", folder / "tiny.yaml", "--out", folder / "model", "--json"))
    assert told["steps"] == 4 and told["model"] == str(folder / "model") and told["loss"] > 0
    for name, colour in [("red", "red"), ("blue", "blue")]:
        Image.new("RGB", (30, 20), colour).save(folder / f"{name}.png")
    return folder / "model"


@pytest.mark.parametrize("command", [[], ["train"], ["ask"], ["eval"], ["info"], ["demo"]], ids=str)
def test_help_has_examples(command: list[str]) -> None:
    result = midstream(*command, "--help")
    assert result.exit_code == 0
    assert not command or f"midstream {command[0]} " in result.stdout.split("Usage", 1)[1].split("\n", 1)[1]


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'numpy', 'pydantic', 'PIL'}"
    code = f"import sys; from midstream.cli import app; sys.exit(bool({heavy} & set(sys.modules)))"
    started = time.perf_counter()
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert time.perf_counter() - started < 5  # 0.2 s alone on two cores; the machine may be busy


def test_ask_answers_about_files(model: Path) -> None:
    one = last_json(midstream("ask", model, "--image", model.parent / "red.png", "what colour is this?", "--json"))
    assert isinstance(one["answer"], str) and one["question"] == "what colour is this?"
    pictures = ["--image", model.parent / "red.png", "--image", model.parent / "blue.png"]
    two = last_json(midstream("ask", model, *pictures, "is <image> like <image>?", "--json", "--max-new-tokens", 3))
    assert [entry["modality"] for entry in two["media"]] == ["image", "image"]
    plain = midstream("ask", model, "--image", model.parent / "red.png", "what colour is this?")
    assert plain.stdout == one["answer"] + "\n"


def test_eval_has_every_number(model: Path) -> None:
    told = last_json(midstream("eval", model, "--n", 3, "--json"))
    assert set(told) == {
        *("accuracy", "by_type", "ceiling", "blind", "shuffled", "untrained"),
        *("n", "bad", "reasons", "metric", "metrics", "provenance"),
    }
    assert told["n"] == 3 and told["provenance"]["recipe"] == "tiny" and told["provenance"]["versions"]["torch"]
    shown = midstream("eval", model, "--n", 3)
    assert "untrained: fresh connectors" in shown.stdout
    quick = last_json(midstream("eval", model, "--n", 3, "--no-controls", "--json"))
    assert quick["accuracy"] == told["accuracy"] and quick["untrained"] is None


def test_eval_tells_of_pictures_that_cannot_be_read(model: Path, tmp_path: Path) -> None:
    kept = load_recipe(model / "recipe.yaml")
    rows = Path(kept.data.validation).read_text().replace("validation-1.jpg", "gone.jpg")  # type: ignore[union-attr, arg-type]
    (tmp_path / "rows.jsonl").write_text(rows)
    for picture in Path(kept.data.validation).parent.glob("*.jpg"):  # type: ignore[union-attr, arg-type]
        (tmp_path / picture.name).write_bytes(picture.read_bytes())
    told = kept.model_dump(mode="json")
    told["data"] |= {"validation": str(tmp_path / "rows.jsonl"), "media": None, "images": None}
    (tmp_path / "bad.yaml").write_text(parse_recipe(told).to_yaml())
    command = ("eval", model, "--recipe", tmp_path / "bad.yaml", "--n", 4, "--no-controls")
    result = last_json(midstream(*command, "--json"))
    assert result["n"] == 3 and result["bad"] == 1 and "gone.jpg" in result["reasons"][0]
    shown = midstream(*command).stdout
    assert (
        "3 questions" in shown
        and "rows that could not be read: 1" in shown
        and "left out: row 1: " in shown
        and "gone.jpg" in shown
    )


def test_info_shows_parts_and_the_schedule(model: Path) -> None:
    told = last_json(midstream("info", model, "--json"))
    assert told["layers"] == 4 and "..0#" in told["drawing"] and 0 < told["trained_share"] < 1
    assert {part["part"] for part in told["parts"]} == {"language model", "image encoder", "image connector"}
    shown = midstream("info", model).stdout
    assert "..0#" in shown and "image connector" in shown


@pytest.mark.parametrize("name", shipped_names())
def test_info_describes_every_shipped_recipe(name: str) -> None:
    told = last_json(midstream("info", name, "--json"))
    assert told["recipe"] == name and told["drawing"]
    assert midstream("info", name).exit_code == 0


REAL = {name: recipe for name in shipped_names() if "/" in (recipe := load_recipe(name)).lm}
"""Recipes whose parts come from the hub."""


@pytest.mark.parametrize("name", REAL)
def test_real_recipes_run_through_in_seconds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert last_json(midstream("train", name, "--smoke", "--json"))["steps"] == 3
    folder = f"runs/{name}-smoke"
    told = last_json(midstream("eval", folder, "--json"))
    assert told["n"] >= 4 and told["bad"] == 0
    medium = next(medium for medium in REAL[name].modalities if medium in FILES)
    shown = sample(medium, tmp_path / "shown", 1)
    assert "answer" in last_json(midstream("ask", folder, f"--{medium}", shown, "What color is this?", "--json"))


def test_bad_pictures_are_told(model: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    Image.radial_gradient("L").save(whole)
    broken, text, empty = tmp_path / "broken.png", tmp_path / "text.png", tmp_path / "empty.png"
    broken.write_bytes(whole.read_bytes()[:2000])
    text.write_text("not a picture")
    empty.touch()
    for path, said in [(broken, "damaged|decoded"), (text, "not an image"), (empty, "empty"), (tmp_path, "not a file")]:
        refused(midstream("ask", model, "--image", path, "what?"), f"{re.escape(str(path))}.*({said})")


def test_bad_questions(model: Path) -> None:
    picture = ["--image", model.parent / "red.png"]
    refused(midstream("ask", model, *picture, "   "), "question is empty")
    refused(midstream("ask", model, *picture, "<image>"), "question is empty")
    refused(midstream("ask", model, "what is in <image>?"), "1 <image> slots, but 0 were given")
    refused(midstream("ask", model, *picture, "is <image> like <image>?"), "2 <image> slots, but 1 were given")


def test_bad_models(model: Path, tmp_path: Path) -> None:
    refused(midstream("ask", "nowhere", "what?"), "nowhere is not a model's folder")
    refused(midstream("eval", "nowhere"), "nowhere is not a model's folder")
    refused(midstream("info", tmp_path), "Midstream model")
    refused(midstream("info", "deepinsert"), r"no recipe 'deepinsert'.*did you mean deep_insert\?")
    another = tmp_path / "another"
    another.mkdir()
    for path in model.iterdir():
        if path.is_file():
            (another / path.name).write_bytes(path.read_bytes())
    config = json.loads((model / "config.json").read_text())
    config["lm_fingerprint"]["parameters"] += 1
    (another / "config.json").write_text(json.dumps(config))
    refused(midstream("ask", another, "what?"), "trained with language model .* but .* has parameters")
    refused(midstream("eval", model, "--split", "tomorrow"), "no 'tomorrow' data, only train, validation")


def test_bad_recipes_leave_no_folder(model: Path, tmp_path: Path) -> None:
    recipe, out = model.parent / "tiny.yaml", tmp_path / "out"
    for override, said in [
        ("training.stepz=3", "unknown key `training.stepz`; did you mean `training.steps`"),
        ("training.steps=many", "`training.steps` is 'many'"),
        ("modalities.image.schedule.layer=4", r"layer 4, but the LM has layers 0\.\.3"),
        ("data.train=gone.jsonl", "gone.jsonl cannot be read"),
    ]:
        refused(midstream("train", recipe, "--set", override, "--out", out), said)
    refused(midstream("train", recipe, "--out", out, "--resume"), "nothing to resume")
    refused(midstream("train", recipe, "--out", model), "exists already")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_training_picture_is_named(model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    content = [{"type": "image", "image": "bad.png"}, {"type": "text", "text": "what?"}]
    row = {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "red"}]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    data = f"data={{kind: jsonl, train: {tmp_path / 'rows.jsonl'}}}"
    refused(
        midstream("train", model.parent / "tiny.yaml", "--set", data, "--out", tmp_path / "out"),
        "bad.png is not an image",
    )
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


def test_errors_are_json_too_when_asked_and_debug_shows_where(model: Path) -> None:
    result = midstream("train", "deepinsert", "--json")
    assert result.exit_code == 2 and "did you mean" in json.loads(result.stdout.splitlines()[-1])["error"]
    assert isinstance(midstream("train", "deepinsert", "--debug").exception, ValueError)


def test_version() -> None:
    assert midstream("--version").stdout.strip() == f"midstream {__version__}"


@pytest.mark.slow
def test_ctrl_c_exits_130_with_one_sentence_and_resume_goes_on(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "midstream", "train", model.parent / "tiny.yaml", "--out", out]
    command += ["--set", "training.steps=600", "--set", "training.log_every=1", "--set", "training.save_every=5"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        while not list(tmp_path.glob("out.partial/checkpoint-*/complete")):
            time.sleep(0.05)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 130 and re.search(r"stopped after step \d+ of 600; .*--resume", said)
    assert "Traceback" not in said and not out.exists()
    assert (tmp_path / "out.partial").is_dir()
