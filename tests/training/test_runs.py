"""Whole runs: exact resume, interruption, full disks, and folders that appear whole or not at all."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

import runs
from midstream import MidstreamForCausalLM, checkpoint, training
from midstream.connector_trainer import Caching
from midstream.errors import InputError
from midstream.recipe import Recipe, parse_recipe
from midstream.training import train
from midstream.training_callbacks import Interrupted

SAVERS = {"torch.save": (torch, "save"), "safetensors": (checkpoint, "save_file")}


class StopAfter(TrainerCallback):
    """Raises once a step is saved: a power cut with better manners."""

    def __init__(self, step: int, error: BaseException) -> None:
        self.step, self.error = step, error

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise self.error


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """Four steps without a break."""
    folder: Path = tmp_path_factory.mktemp("straight")
    recipe = runs.tiny_recipe(folder / "parts")
    train(recipe, folder / "model")
    return recipe, folder / "model"


def test_a_run_leaves_a_whole_model_and_nothing_else(straight: tuple[Recipe, Path]) -> None:
    _, model = straight
    assert {path.name for path in model.parent.iterdir()} == {"parts", "model"}
    assert {"config.json", "model.safetensors", "recipe.yaml", "training.json"} <= {p.name for p in model.iterdir()}
    assert not [path for path in model.rglob("*") if path.suffix in {".bin", ".pt", ".pth", ".pkl"}]
    told = json.loads((model / "training.json").read_text())
    assert told["steps"] == 4 and told["provenance"]["recipe"] == "tiny"
    MidstreamForCausalLM.from_pretrained(model)


def test_the_last_step_is_logged_however_few_there_are(tmp_path: Path) -> None:
    assert train(runs.tiny_recipe(tmp_path / "parts", steps=1, log_every=50), tmp_path / "model").loss > 0


def test_training_changes_the_connector_and_nothing_frozen(tmp_path: Path) -> None:
    from midstream.building import build_model

    recipe = runs.tiny_recipe(tmp_path / "parts")
    before = {name: tensor.detach().clone() for name, tensor in build_model(recipe).state_dict().items()}
    train(recipe, tmp_path / "model")
    after = MidstreamForCausalLM.from_pretrained(tmp_path / "model")
    trained = after.trained_tensors()
    for name, tensor in after.state_dict().items():
        assert torch.equal(before[name], tensor) == (name not in trained), name


@pytest.mark.parametrize("cache", ["none", "features", "states"])
def test_two_and_two_steps_are_four(cache: str, tmp_path: Path) -> None:
    recipe = runs.tiny_recipe(tmp_path / "parts", cache=cache)
    train(recipe, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="cut"):
        train(recipe, tmp_path / "parted", callbacks=[StopAfter(2, RuntimeError("cut"))])
    assert not (tmp_path / "parted").exists()
    train(recipe, tmp_path / "parted", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parted")
    assert not (tmp_path / "parted.partial").exists()


@pytest.mark.parametrize("cache", ["features", "states"])
def test_a_cache_changes_no_bit_of_the_trained_model(cache: str, straight: tuple[Recipe, Path], tmp_path: Path) -> None:
    result = train(runs.tiny_recipe(tmp_path / "parts", cache=cache), tmp_path / "model")
    assert_same(straight[1], tmp_path / "model")
    assert result.cache is not None and result.cache.parent == Path(os.environ["MIDSTREAM_CACHE"])
    with pytest.raises(InputError, match=r"lies in the model's folder .*; choose another place"):
        train(
            runs.tiny_recipe(tmp_path / "parts", cache=cache),
            tmp_path / "other",
            caching=Caching(tmp_path / "other" / "cache"),
        )


def test_the_control_another_seed_gives_another_model(straight: tuple[Recipe, Path], tmp_path: Path) -> None:
    train(runs.tiny_recipe(tmp_path / "parts", seed=1), tmp_path / "model")
    with pytest.raises(AssertionError):
        assert_same(straight[1], tmp_path / "model")


def _spawn(recipe: Recipe, out: Path) -> subprocess.Popen[str]:
    """The run in a process of its own, which waits after step 2 for whatever is to happen to it."""
    (out.parent / "recipe.yaml").write_text(recipe.to_yaml())
    code = f"""
import time
from transformers import TrainerCallback
from midstream.recipe import load_recipe
from midstream.training import train
class Wait(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step >= 2:
            print("two steps", flush=True)
            time.sleep(60)
train(load_recipe({str(out.parent / "recipe.yaml")!r}), {str(out)!r}, callbacks=[Wait()])
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    recipe = runs.tiny_recipe(tmp_path / "parts")
    train(recipe, tmp_path / "whole")
    with _spawn(recipe, tmp_path / "killed") as process:
        assert process.stdout is not None and process.stdout.readline() == "two steps\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and not (tmp_path / "killed").exists()
    shutil.copytree(tmp_path / "killed.partial" / "checkpoint-2", tmp_path / "killed.partial" / "checkpoint-3")
    (tmp_path / "killed.partial" / "checkpoint-3" / "complete").unlink()  # as if it had died while writing this one
    train(recipe, tmp_path / "killed", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_ctrl_c_finishes_the_step_and_says_how_to_go_on(tmp_path: Path) -> None:
    recipe = runs.tiny_recipe(tmp_path / "parts", save_every=100)
    train(recipe, tmp_path / "whole")

    class CtrlC(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match=r"after step 3 of 4; .*--resume"):
        train(recipe, tmp_path / "parted", callbacks=[CtrlC()])
    assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "parted").exists()
    train(recipe, tmp_path / "parted", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parted")


def test_an_early_end_leaves_nothing(tmp_path: Path) -> None:
    recipe = runs.tiny_recipe(tmp_path / "parts")
    with pytest.raises(Interrupted, match="nothing is kept"):
        train(recipe, tmp_path / "model", callbacks=[StopAfter(1, KeyboardInterrupt())])
    changed = recipe.model_dump(mode="json")
    changed["modalities"]["image"]["schedule"]["layer"] = 9
    with pytest.raises(InputError, match=r"layer 9, but the LM has layers 0..3"):
        train(parse_recipe(changed), tmp_path / "model")
    assert {path.name for path in tmp_path.iterdir()} == {"parts"}


def test_refusals_name_the_folder_and_the_remedy(straight: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, model = straight
    with pytest.raises(InputError, match=f"{model} exists already; .*--force"):
        train(recipe, model)
    with pytest.raises(InputError, match="nothing to resume"):
        train(recipe, tmp_path / "new", resume=True)
    (tmp_path / "holidays").mkdir()
    with pytest.raises(InputError, match="was not written by midstream train"):
        train(recipe, tmp_path / "holidays", force=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to"):
        train(recipe, tmp_path / "file" / "model")
    assert weights(model) and {path.name for path in tmp_path.iterdir()} == {"holidays", "file"}


def test_only_the_same_recipe_resumes_and_force_starts_again(tmp_path: Path) -> None:
    recipe = runs.tiny_recipe(tmp_path / "parts")
    with pytest.raises(RuntimeError, match="cut"):
        train(recipe, tmp_path / "model", callbacks=[StopAfter(2, RuntimeError("cut"))])
    with pytest.raises(InputError, match="holds an interrupted run"):
        train(recipe, tmp_path / "model")
    other = runs.tiny_recipe(tmp_path / "parts", lr=0.5)
    with pytest.raises(InputError, match=r"training.lr=0.01, this one has 0.5"):
        train(other, tmp_path / "model", resume=True)
    assert train(other, tmp_path / "model", force=True).steps == 4
    kept = tmp_path / "model" / "stale.txt"
    kept.write_text("")
    train(recipe, tmp_path / "model", force=True)
    assert not kept.exists() and not (tmp_path / "model.partial").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 KB; skipped where mounting is not allowed, since the patched test below covers the code."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_the_last_checkpoint_and_says_so(small_disk: Path, tmp_path: Path) -> None:
    recipe = runs.tiny_recipe(tmp_path / "parts")

    class Fill(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                free = shutil.disk_usage(small_disk).free
                (small_disk / "ballast").write_bytes(b"x" * max(free - 8192, 0))

    with pytest.raises(InputError, match=r"free some space|Free some space"):
        train(recipe, small_disk / "model", callbacks=[Fill()])
    assert not (small_disk / "model").exists()
    names = {path.name for path in small_disk.rglob("*") if path.is_dir()}
    assert "checkpoint-4" not in names and not any(name.startswith(".") for name in names)
    (small_disk / "ballast").unlink()
    train(recipe, small_disk / "model", resume=True)
    train(recipe, tmp_path / "whole")
    assert_same(tmp_path / "whole", small_disk / "model")


def test_a_disk_too_small_for_the_model_keeps_the_finished_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = runs.tiny_recipe(tmp_path / "parts")
    with monkeypatch.context() as patch:
        patch.setattr(training, "REPORT_NAME", "no/such/folder.json")
        with pytest.raises(InputError, match=r"the finished run is kept in .*model.partial.*--resume"):
            train(recipe, tmp_path / "model")
    assert {path.name for path in tmp_path.iterdir()} == {"parts", "model.partial"}
    assert train(recipe, tmp_path / "model", resume=True).steps == 4


@pytest.mark.parametrize("failing", SAVERS)
def test_a_disk_that_fills_up_while_saving(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = runs.tiny_recipe(tmp_path / "parts")
    done: list[int] = []

    def full(*args: Any, **kwargs: Any) -> None:
        done.append(1)
        raise OSError(28, "No space left on device")

    class Fail(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                monkeypatch.setattr(*SAVERS[failing], full)

    with pytest.raises(InputError, match="No space left"):
        train(recipe, tmp_path / "model", callbacks=[Fail()])
    assert done and not (tmp_path / "model").exists()
    assert {path.name for path in (tmp_path / "model.partial").iterdir()} == {"recipe.yaml", "checkpoint-2"}
