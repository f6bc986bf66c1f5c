"""Trains a recipe's connectors with Hugging Face's `Trainer`, in one process or in many. Owns the run from end to end.

train
|- run_folder: may this be begun, or gone on with?
|- connector_trainer: model, rows, steps, checkpoints, exact resume
|- training_callbacks: progress, clean interruption
`- the finished model, by one rename

Weights are safetensors. `Trainer` keeps optimiser, LR schedule and RNG state with `torch.save` and reads them with
`weights_only=True`, so no pickled code runs.
"""

import errno
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors import SafetensorError
from transformers import TrainerCallback

from midstream.checkpoint import written_whole
from midstream.connector_trainer import Caching, ConnectorTrainer, make_trainer
from midstream.errors import InputError
from midstream.progress import Report, silent
from midstream.provenance import provenance
from midstream.recipe import Recipe
from midstream.run_folder import RECIPE_NAME, clean, latest, partial_of, prepare
from midstream.training_callbacks import Interrupted, Interruption

REPORT_NAME = "training.json"
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EACCES}


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a finished run tells.

    Args:
        folder: the model.
        steps: optimiser steps.
        seconds: what they took in this process.
        loss: mean of the last log.
        cache: where rows were read from, if they were.
        cache_seconds: what it took to make the cache, or to find it.
    """

    folder: Path
    steps: int
    seconds: float
    loss: float
    cache: Path | None = None
    cache_seconds: float = 0.0


def train(
    recipe: Recipe,
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    caching: Caching | None = None,
    report: Report = silent,
    callbacks: Sequence[TrainerCallback] = (),
) -> TrainingResult:
    """Train a recipe and save the model, its processor, the recipe and a report in `out`.

    Started by `torchrun` or `accelerate launch`, every process calls this, and the first of them writes.

    Args:
        recipe: see `midstream.recipe`.
        out: the folder to appear; while training, `out` + ".partial" holds the checkpoints.
        resume: go on from the last complete checkpoint, exactly.
        force: replace what is at `out`, and drop an interrupted run.
        caching: where the cache lies, if the recipe says `training.cache`.
        report: told about caching and steps.
        callbacks: more of Trainer's.

    Raises:
        InputError: `out` exists, nothing to resume, another recipe was interrupted, bad data, a stale cache, or a
            full disk.
        Interrupted: Ctrl-C; a checkpoint of the last step is kept.
    """
    out, processes = Path(out), PartialState(cpu=not torch.accelerator.is_available())
    partial, caching = partial_of(out), caching or Caching()
    if processes.is_main_process:
        _check_apart(caching.folder, out)
        prepare(recipe, out, resume, force)
    processes.wait_for_everyone()
    report = report if processes.is_main_process else silent
    interruption = Interruption()
    try:
        with interruption.watched():
            trainer, cache_seconds = make_trainer(recipe, partial, caching, report, [interruption, *callbacks])
            checkpoint = latest(partial)
            started = time.perf_counter()
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
            interruption.check(trainer.state.global_step, recipe.training.steps)
    except (OSError, SafetensorError, RuntimeError) as error:
        if not _is_disk_trouble(error):
            raise
        reason = " ".join(str(error).split())
        raise InputError(
            f"writing a checkpoint to {partial} failed ({reason}); free some space and continue with --resume"
        ) from None
    except KeyboardInterrupt as stop:
        raise _interrupted(stop, recipe, partial) from None
    finally:
        if processes.is_main_process:
            clean(partial)
    seconds = time.perf_counter() - started
    result = TrainingResult(
        out,
        trainer.state.global_step,
        seconds,
        _last_loss(trainer),
        getattr(trainer.train_dataset, "folder", None),
        cache_seconds,
    )
    if processes.is_main_process:
        try:
            _save(trainer, recipe, result)
        except InputError as error:
            raise InputError(f"{error}; the finished run is kept in {partial}, save it with --resume") from None
        shutil.rmtree(partial, ignore_errors=True)
    processes.wait_for_everyone()
    return result


def _check_apart(cache: Path | None, out: Path) -> None:
    """A cache serves many runs; inside a run's folder it would go with it."""
    if cache is not None and {out.resolve(), partial_of(out).resolve()} & {cache.resolve(), *cache.resolve().parents}:
        raise InputError(f"--cache-dir {cache} lies in the model's folder {out}; choose another place for the cache")


def _save(trainer: ConnectorTrainer, recipe: Recipe, result: TrainingResult) -> None:
    summary = {
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "cache_seconds": round(result.cache_seconds, 1),
        "log": [entry for entry in trainer.state.log_history if "loss" in entry],
        "provenance": provenance(seed=recipe.training.seed, recipe=recipe.name),
    }
    with written_whole(result.folder) as scratch:
        trainer.save_parts(scratch)
        (scratch / RECIPE_NAME).write_text(recipe.to_yaml(), encoding="utf-8")
        (scratch / REPORT_NAME).write_text(json.dumps(summary, indent=2), encoding="utf-8")
        if result.folder.exists():  # allowed by --force; what was there must not shine through
            shutil.rmtree(result.folder)


def _last_loss(trainer: ConnectorTrainer) -> float:
    return next((entry["loss"] for entry in reversed(trainer.state.log_history) if "loss" in entry), float("nan"))


def _interrupted(stop: KeyboardInterrupt, recipe: Recipe, partial: Path) -> Interrupted:
    """What to tell after Ctrl-C."""
    if isinstance(stop, Interrupted):
        return stop
    kept = latest(partial)
    if kept is not None:
        return Interrupted(f"stopped; {kept.name} is kept, go on with the same command and --resume")
    if recipe.training.cache != "none":
        return Interrupted(
            "stopped before the first checkpoint; what is finished of the cache is kept for the next run"
        )
    return Interrupted("stopped before the first checkpoint; nothing is kept")


def _is_disk_trouble(error: Exception) -> bool:
    """Whether an error is about writing: torch reports a full disk as a RuntimeError of its zip writer."""
    if isinstance(error, OSError):
        return error.errno in DISK_ERRORS
    return isinstance(error, SafetensorError) or "PytorchStreamWriter" in str(error)
