"""`midstream cost` and `midstream bench` as a user meets them."""

import json
import re
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from midstream.cli import app


def midstream(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def last_json(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("command", ["cost", "bench"])
def test_help_has_examples_and_the_commands_are_listed(command: str) -> None:
    assert f"midstream {command} " in midstream(command, "--help").stdout
    assert re.search(rf"\b{command}\b", midstream("--help").stdout)


def test_cost_counts_a_70b_shape() -> None:
    told = last_json(midstream("cost", "llama-70b", "--schedule", "deep_insert:L/2", "--json"))
    first, half, text = told["schedules"]
    assert told["parameters"] == 68_976_648_192 and told["layers"] == 80 == len(half["layers"])
    assert 0.5 < half["against_entry_0"]["prefill"] < 0.6 and half["against_text_only"]["prefill"] > 5
    assert half["against_entry_0"]["decode"] > 0.99, "one token's work, whatever the entry"
    assert sum(layer["kv_bytes"] for layer in half["layers"]) == half["kv_bytes"] < first["kv_bytes"]
    assert text["tokens"] == {} and told["provenance"]["versions"]["torch"]


def test_cost_shows_tables() -> None:
    shown = midstream("cost", "opt-125m", "--layers")
    assert shown.exit_code == 0, shown.output
    for word in ("entry at 0", "deep_insert:L/2", "text only", "backward"):
        assert word in " ".join(shown.stdout.split())
    trained = midstream("cost", "pocket", "--train-lm", "--dtype", "float32", "--batch", 4).stdout
    assert "its own" in trained and "4 x (64 text, 64 image tokens), float32" in trained


def test_an_encoder_says_how_many_tokens() -> None:
    told = last_json(midstream("cost", "opt-125m", "--encoder", "clip-vit-l-14-336", "--slots", 2, "--json"))
    assert told["schedules"][0]["tokens"] == {"image": 2 * 576} and told["schedules"][0]["encoder"] > 1e11


def test_bench_measures_the_pocket_model() -> None:
    options = ("--text", 8, "--rounds", 1, "--stages", "prefill,train", "--threads", 1)
    told = last_json(midstream("bench", "pocket", *options, "--json"))
    assert set(told["schedules"]) == {"entry at 0", "its own", "text only"}
    assert "decode" not in told["schedules"]["its own"] and told["work"]["dtype"] == "float32"
    assert told["schedules"]["its own"]["train"]["samples_per_second"] > 0
    shown = midstream("bench", "pocket", "--text", 8, "--rounds", 1, "--stages", "prefill", "--threads", 1)
    assert "first token" in shown.stdout and "arrives" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cost", "lama-7b"), "did you mean llama-7b"),
        (("cost", "llama-7b", "--schedule", "deep_insert:40"), r"layers 0\.\.31"),
        (("cost", "llama-7b", "--tokens", "-3"), "tokens is -3"),
        (("cost", "llama-7b", "--slots", "0"), "slots is 0"),
        (("cost", "llama-7b", "--dtype", "int3"), "dtype 'int3'"),
        (("bench", "--stages", "sleep"), "stage 'sleep'"),
        (("bench", "opt-125m", "--batch", "0"), "batch is 0"),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    result = midstream(*arguments)
    assert result.exit_code == 2 and result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and re.search(said, lines[0]) and "Traceback" not in result.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda_is_told() -> None:
    result = midstream("bench", "opt-125m", "--device", "cuda")
    assert result.exit_code == 2 and "no CUDA device" in result.stderr
