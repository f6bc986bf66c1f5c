"""Whole sweeps of tiny runs: the table is tidy, and whatever stops one, the same command goes on."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import TrainerCallback
from typer.testing import CliRunner, Result

import runs
from midstream.cli import app
from midstream.cli.sweep import spoken, table
from midstream.errors import InputError
from midstream.sweep import running
from midstream.sweep.board import Board, Progress
from midstream.sweep.cells import cells_of
from midstream.sweep.grid import load_grid
from midstream.sweep.processes import Share, stand_alone
from midstream.sweep.results import COLUMNS, read_rows, read_table
from midstream.training_callbacks import Interrupted

LAYER = "modalities.image.schedule.layer"


def grid_file(folder: Path, **changes: Any) -> Path:
    """Two entry layers of a run of four steps."""
    (folder / "tiny.yaml").write_text(runs.tiny_recipe(folder / "parts").to_yaml())
    tree = {
        "recipe": str(folder / "tiny.yaml"),
        "grid": {LAYER: [1, 3]},
        "evaluate": {"splits": ["validation"], "n": 4},
        **changes,
    }
    (folder / "grid.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    return folder / "grid.yaml"


def run(grid: Path, *overrides: str, **options: Any) -> running.Outcome:
    settings = load_grid(grid, list(overrides))
    return running.run([settings], cells_of(settings), grid.parent / "results" / "tiny", **options)


def sweep(grid: Path, *arguments: str) -> Result:
    out = grid.parent / "results" / "tiny"
    return CliRunner().invoke(app, ["sweep", str(grid), "--out", str(out), *arguments])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The grid of a finished sweep."""
    folder: Path = tmp_path_factory.mktemp("sweep")
    grid = grid_file(folder)
    result = sweep(grid, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout.splitlines()[-1])
    assert told == {"table": str(folder / "results" / "tiny.parquet"), "rows": 8, "cells": 2, "done": 2, "mixed": []}
    assert "layer=1,seed=0: done accuracy" in result.stderr
    return grid


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Cells that are trained from here on, and whether as a continuation."""
    found: list[tuple[str, bool]] = []
    train = running.train

    def watched(recipe: Any, out: Path, **options: Any) -> Any:
        found.append((Path(out).name, options["resume"]))
        return train(recipe, out, **options)

    monkeypatch.setattr(running, "train", watched)
    return found


def test_the_table_is_tidy(done: Path) -> None:
    rows = read_table(done.parent / "results" / "tiny.parquet")
    assert list(rows[0]) == list(COLUMNS) and len(rows) == 8
    assert [row["condition"] for row in rows[:4]] == ["accuracy", "blind", "shuffled", "untrained"]
    first, last = rows[0], rows[4]
    assert (first["cell"], last["cell"]) == ("layer=1,seed=0", "layer=3,seed=0")
    facts = {"method": "tiny", "modality": "image", "connector": "mlp", "data": "jsonl", "tokens": 4, "steps": 4}
    facts |= {"seed": 0, "split": "validation", "kind": "all", "metric": "exact", "n": 4, "bad": 0, "layers": 4}
    for row in rows:
        assert {key: row[key] for key in facts} == facts
        assert row["value"] == sum(row["scores"]) / 4 and row["scenes"] == [0, 1, 2, 3]
        assert row["enter"] == json.loads(row["settings"])[LAYER] and row["leave"] is None
        assert row["data_fraction"] == 1 and row["loss"] > 0 and row["train_seconds"] > 0 and row["prefill_ms"] > 0
        assert "torch" in json.loads(row["versions"]) and json.loads(row["machine"])["cores"] and row["date"]
    assert first["trained_parameters"] == 2 * 16 + (16 * 16 + 16) + (16 * 32 + 32)  # norm and two layers
    assert first["question_set"] == last["question_set"] and first["recipe_hash"] != last["recipe_hash"]
    for column in ("prefill_flops", "train_step_flops", "kv_bytes", "prefill_of_entry_0", "kv_of_entry_0"):
        assert first[column] > last[column] > 0  # a deeper entry costs less
    assert first["prefill_of_entry_0"] < 1


def test_captions_moved_entries_and_controls_of_one_split(tmp_path: Path) -> None:
    """On the pocket world, whose evaluation can ask for descriptions; too few steps to learn anything."""
    tree = {
        "recipe": "deep_insert",
        "set": {"training.steps": 1, "training.batch_size": 2, "data.scenes": 4, "data.questions": 1},
        "grid": {LAYER: [2]},
        "evaluate": {"splits": ["test", "held_out"], "n": 4, "controls": ["test"], "captions": 3, "moved": [0, 2]},
    }
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(tree))
    outcome = run(tmp_path / "grid.yaml")
    assert not outcome.failed
    found = {(row["split"], row["kind"], row["metric"], row["condition"]): row for row in read_table(outcome.table)}
    whole = {key[3]: row for key, row in found.items() if key[:2] == ("test", "all")}
    assert list(whole) == ["accuracy", "blind", "ceiling", "shuffled", "untrained", "moved to 0", "moved to 2"]
    assert whole["moved to 2"]["scores"] == whole["accuracy"]["scores"]  # it is where it was trained
    assert {key[3] for key in found if key[:2] == ("held_out", "all")} == {"accuracy", "moved to 0", "moved to 2"}
    told = {key[2:]: row for key, row in found.items() if key[:2] == ("test", "captions")}
    assert {condition for metric, condition in told if metric == "cider"} == set(whole)
    assert {metric for metric, _ in told} == {"cider", "bleu1", "bleu2", "bleu3", "bleu4", "rougeL", "length"}
    assert told["cider", "ceiling"]["value"] > 3 * told["cider", "accuracy"]["value"]  # the control: told in words
    assert told["length", "accuracy"]["value"] > 5 and told["cider", "accuracy"]["n"] == 3


def test_models_go_and_what_is_done_is_not_done_again(done: Path, trained: list[tuple[str, bool]]) -> None:
    out = done.parent / "results" / "tiny"
    assert not any((out / "models").iterdir())
    before = {path.name: path.read_bytes() for path in (out / "cells").iterdir()}
    assert run(done).done == 2 and trained == []
    assert before == {path.name: path.read_bytes() for path in (out / "cells").iterdir()}


def test_a_table_alone_is_enough_to_go_on(done: Path, tmp_path: Path, trained: list[tuple[str, bool]]) -> None:
    grid = grid_file(tmp_path, recipe=str(done.parent / "tiny.yaml"), grid={LAYER: [1, 2, 3]})
    (tmp_path / "results").mkdir()
    table = tmp_path / "results" / "tiny.parquet"
    table.write_bytes((done.parent / "results" / "tiny.parquet").read_bytes())
    before = {row["cell"]: row["date"] for row in read_table(table)}
    assert run(grid).done == 3
    assert trained == [("layer=2,seed=0", False)]  # what the table holds is not done again
    after = {row["cell"]: row["date"] for row in read_table(table)}
    assert after.keys() > before.keys() and all(after[cell] == date for cell, date in before.items())
    (tmp_path / "results" / "tiny" / "cells" / "layer=1,seed=0.jsonl").unlink()
    run(grid)
    assert trained[1:] == [("layer=1,seed=0", False)]  # the control: with the folder there, its files alone count


def test_a_cell_whose_file_is_cut_short_is_done_again_and_no_other(
    tmp_path: Path, trained: list[tuple[str, bool]]
) -> None:
    grid = grid_file(tmp_path)
    run(grid)
    assert trained == [("layer=1,seed=0", False), ("layer=3,seed=0", False)]
    path = tmp_path / "results" / "tiny" / "cells" / "layer=3,seed=0.jsonl"
    whole = read_rows(path)
    path.write_text(path.read_text()[:-200])
    assert read_rows(path) is None and whole is not None
    assert run(grid).done == 2 and trained[2:] == [("layer=3,seed=0", False)]
    again = read_rows(path)
    assert again is not None and [row["loss"] for row in again] == [row["loss"] for row in whole]


KILL = """
import os, signal, sys
from pathlib import Path
from transformers import TrainerCallback
from midstream.sweep import running
from midstream.sweep.cells import cells_of
from midstream.sweep.grid import load_grid
train = running.train
class Kill(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
def deadly(recipe, out, **options):
    return train(recipe, out, **options, callbacks=[Kill()] if "layer=3" in str(out) else [])
running.train = deadly
grid = load_grid(sys.argv[1])
running.run([grid], cells_of(grid), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_cell(done: Path, tmp_path: Path, trained: list[tuple[str, bool]]) -> None:
    grid, out = grid_file(tmp_path), tmp_path / "results" / "tiny"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", KILL, str(grid), str(out)], env=environment, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert [path.name for path in (out / "cells").glob("*.jsonl")] == ["layer=1,seed=0.jsonl"]
    assert (out / "models" / "layer=3,seed=0.partial" / "checkpoint-2" / "complete").is_file()
    run(grid)
    assert trained == [("layer=3,seed=0", True)]
    straight = {row["cell"]: row for row in read_table(done.parent / "results" / "tiny.parquet")}
    for row in read_table(tmp_path / "results" / "tiny.parquet"):
        assert row["loss"] == straight[row["cell"]]["loss"]  # as if nothing had happened
        assert (row["train_seconds"] is None) == row["cell"].startswith("layer=3")  # of which only a part was seen


def test_ctrl_c_says_what_is_done_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[tuple[str, bool]]
) -> None:
    grid = grid_file(tmp_path)

    class CtrlC(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                os.kill(os.getpid(), signal.SIGINT)

    train = running.train
    with monkeypatch.context() as patch:
        patch.setattr(running, "train", lambda *args, **options: train(*args, **options, callbacks=[CtrlC()]))
        with pytest.raises(Interrupted, match=r"stopped in layer=1,seed=0: 0 of 2 cells are done; go on with the same"):
            run(grid)
    assert run(grid).done == 2 and trained[-2:] == [("layer=1,seed=0", True), ("layer=3,seed=0", False)]


def test_a_cell_stopped_while_it_is_measured_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[tuple[str, bool]]
) -> None:
    grid = grid_file(tmp_path, grid={LAYER: [1]})

    def stop(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running, "rows_of", stop)
        with pytest.raises(Interrupted, match="what is trained of it is kept"):
            run(grid)
    outcome = run(grid, keep=True)
    assert outcome.done == 1 and len(trained) == 1
    assert (tmp_path / "results" / "tiny" / "models" / "layer=1,seed=0" / "model.safetensors").is_file()


def test_another_recipe_under_a_cells_name_is_refused_or_done_again(
    tmp_path: Path, trained: list[tuple[str, bool]]
) -> None:
    grid = grid_file(tmp_path, grid={LAYER: [1]})
    run(grid)
    with pytest.raises(InputError, match=r"cell layer=1,seed=0 with recipe.training.lr=0.01, but .* now says 0.5"):
        run(grid, "training.lr=0.5")
    with pytest.raises(InputError, match=r"evaluate.n=4, but the grid now says 3; choose another --out, or .*--redo"):
        run(grid, "evaluate.n=3")
    assert len(trained) == 1
    assert run(grid, "training.lr=0.5", redo=True).done == 1 and len(trained) == 2
    assert {row["learning_rate"] for row in read_table(tmp_path / "results" / "tiny.parquet")} == {0.5}
    assert run(grid, "training.lr=0.5", redo=True).done == 1 and len(trained) == 2  # it is the same now


def test_a_cell_that_cannot_be_done_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    grid = grid_file(tmp_path, grid={LAYER: [9, 1]})
    result = sweep(grid)
    assert result.exit_code == 2 and "Traceback" not in result.stderr
    assert "error: 1 of 2 cells failed; the first, layer=9,seed=0: " in result.stderr
    assert "but the LM has layers 0..3" in result.stderr
    rows = read_table(tmp_path / "results" / "tiny.parquet")
    assert {row["cell"] for row in rows} == {"layer=1,seed=0"}


def test_a_dry_run_lists_and_touches_nothing(tmp_path: Path) -> None:
    grid = grid_file(tmp_path)
    result = sweep(grid, "--dry-run", "--only", "layer=3*")
    assert result.exit_code == 0 and "layer=3,seed=0  4 steps" in result.stdout and "1 cells" in result.stdout
    assert not (tmp_path / "results").exists() and "layer=1" not in result.stdout


def test_processes_share_the_cells_and_forget_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stand_alone() == Share(0, 1)
    launched = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "MASTER_ADDR": "here", "MASTER_PORT": "1"}
    launched |= {"TORCHELASTIC_RUN_ID": "x", "ACCELERATE_MIXED_PRECISION": "no", "ROLE_RANK": "5", "GROUP_RANK": "1"}
    with monkeypatch.context() as patch:
        for name, value in (launched | {"CUDA_VISIBLE_DEVICES": "4,6"}).items():
            patch.setenv(name, value)
        assert stand_alone() == Share(5, 8)
        assert not launched.keys() & os.environ.keys() and os.environ["CUDA_VISIBLE_DEVICES"] == "6"
        assert stand_alone() == Share(0, 1)
    shares = [Share(number, 3).of_items(range(10)) for number in range(3)]
    assert sorted(item for share in shares for item in share) == list(range(10))


@pytest.mark.slow
def test_two_processes_do_every_cell_once_each_by_itself(done: Path, tmp_path: Path) -> None:
    grid, out = grid_file(tmp_path), tmp_path / "results" / "tiny"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    ended = subprocess.run(
        [*launch, "midstream", "sweep", str(grid), "--out", str(out), "--json"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    (told,) = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert told["done"] == told["cells"] == 2 and told["rows"] == 8
    straight = {row["cell"]: row["loss"] for row in read_table(done.parent / "results" / "tiny.parquet")}
    # Trained together, two processes would see twice as many rows in each step, and other losses.
    assert {row["cell"]: row["loss"] for row in read_table(tmp_path / "results" / "tiny.parquet")} == straight


def test_the_board_knows_how_long_it_will_take() -> None:
    now = [0.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731
    board = Board([Progress(name) for name in "abcd"], processes=1, clock=clock)
    assert board.seconds_left() is None
    board.begin("a")
    now[0] = 60.0
    board.change("a", state="done", accuracy=0.5)
    assert board.seconds_left() == 180 and board.of("a").seconds == 60
    board.begin("b")
    now[0] = 80.0
    board.change("b", state="training", done=100, total=300, note="training loss 1.0")
    assert board.seconds_left() == 160
    shown = table(board)
    assert "1 of 4 cells done, about 3 min left" in str(shown.title) and shown.row_count == 4
    assert [spoken(seconds) for seconds in (40, 700, 9000)] == ["40 s", "12 min", "2.5 h"]


def test_what_has_no_cache_is_measured_too(tmp_path: Path) -> None:
    """eP-ALM's published mask lets tokens read what is still to come; its answers are read anew token by token."""
    tree = {
        "recipe": "ep_alm",
        "set": {"training.steps": 1, "training.batch_size": 2, "data.scenes": 4, "data.questions": 1},
        "grid": {"modalities.image.schedule.legacy": [False, True]},
        "evaluate": {"splits": ["test"], "n": 3, "controls": False},
    }
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(tree))
    outcome = run(tmp_path / "grid.yaml")
    assert not outcome.failed
    timed = {row["cell"]: row["prefill_ms"] for row in read_table(outcome.table) if row["kind"] == "all"}
    assert timed["legacy=true,seed=0"] is None and timed["legacy=false,seed=0"] > 0
