"""Trainings from streams and mixes: exact resume, two processes, refused caches, and bad media that stop a run."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

import runs
from midstream.errors import InputError
from midstream.recipe import Recipe, parse_recipe
from midstream.smoke import smoke
from midstream.training import train
from midstream.training_callbacks import Interrupted


class Stop(TrainerCallback):
    """Ctrl-C once a checkpoint is there."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 2:
            raise KeyboardInterrupt


def recipe(folder: Path, kind: str, **data: Any) -> Recipe:
    tree = smoke(parse_recipe(runs.recipe_tree(kind, **data)), folder).model_dump(mode="json")
    tree["training"] |= {"steps": 4, "save_every": 2}
    return parse_recipe(tree)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


MIX = [{"data": {"kind": "jsonl", "train": "x"}, "weight": 2}, {"data": {"kind": "webdataset", "train": "x"}}]
DATA = {
    "stream": ("webdataset", {"train": "x", "shuffle": 4}),
    "mix of counted rows and a stream": ("mix", {"parts": MIX}),
}


@pytest.mark.parametrize("name", DATA)
def test_an_interrupted_run_goes_on_exactly(name: str, tmp_path: Path) -> None:
    kind, data = DATA[name]
    told = recipe(tmp_path / "parts", kind, **data)
    train(told, tmp_path / "straight")
    with pytest.raises(Interrupted):
        train(told, tmp_path / "broken", callbacks=[Stop()])
    train(told, tmp_path / "broken", resume=True)
    assert same(tmp_path / "straight", tmp_path / "broken")
    other = told.model_dump(mode="json")
    other["data"]["seed"] = 5
    train(parse_recipe(other), tmp_path / "other")
    assert not same(tmp_path / "straight", tmp_path / "other")  # the control: the order of rows does matter


def test_streams_are_not_cached(tmp_path: Path) -> None:
    tree = recipe(tmp_path / "parts", "webdataset", train="x").model_dump(mode="json")
    tree["training"]["cache"] = "features"
    with pytest.raises(InputError, match=r"the data are a stream: .*train with --cache none"):
        train(parse_recipe(tree), tmp_path / "model")


def test_broken_media_stop_a_training_in_one_sentence(tmp_path: Path) -> None:
    told = recipe(tmp_path / "parts", "jsonl", train="x")
    picture = tmp_path / "parts" / "data" / "train-3.jpg"
    picture.write_bytes(picture.read_bytes()[:100])
    with pytest.raises(InputError, match=r"train-3\.jpg") as caught:
        train(told, tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_broken_bytes_are_named_by_their_sample(tmp_path: Path) -> None:
    told = recipe(tmp_path / "parts", "webdataset", train="x", shuffle=0)
    shard = tmp_path / "parts" / "data" / "train-000.tar"
    with tarfile.open(shard) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    with tarfile.open(shard, "w") as tar:
        for member, content in members:
            content = content[:100] if member.name == "0003.jpg" else content
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(InputError, match=r"^train-000\.tar:0003: the given bytes"):
        train(told, tmp_path / "model")


TWICE = """
import sys
import midstream.connector_trainer as trainer
from midstream.recipe import load_recipe
from midstream.training import train

train(load_recipe(sys.argv[1]), sys.argv[2])
plain = trainer.TrainingArguments
trainer.TrainingArguments = lambda accelerator_config, **others: plain(**others)
train(load_recipe(sys.argv[1]), sys.argv[2] + "-dispatched")
"""
"""Trains as we do; then leaves it to Accelerate how a stream is shared: the first process reads it and cuts its batches
up for all."""


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Two processes that train on a stream whose batches are of different widths, both ways."""
    folder: Path = tmp_path_factory.mktemp("two")
    told = recipe(folder / "parts", "jsonl", train="x", streaming=True, shuffle=0)
    words = ["a", "a b c d e f g h i j k l m n o p q r s t u v w x y z"]
    path = folder / "parts" / "data" / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for number, row in enumerate(rows):
        row["messages"][0]["content"][-1]["text"] = words[number // 2 % 2]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "recipe.yaml").write_text(told.to_yaml())
    (folder / "script.py").write_text(TWICE)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, str(folder / "script.py"), str(folder / "recipe.yaml"), str(folder / "model")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return folder, done


@pytest.mark.slow
def test_two_processes_share_a_stream(launched: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = launched
    assert weights(folder / "model"), done.stderr[-3000:]


@pytest.mark.slow
def test_the_control_two_processes_cannot_share_dispatched_batches(
    launched: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, done = launched
    assert done.returncode != 0 and "Sizes of tensors must match" in done.stderr, done.stderr[-3000:]
    assert not (folder / "model-dispatched").exists()
