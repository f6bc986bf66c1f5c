"""Trains a recipe's connectors with Hugging Face's `Trainer`. Owns the run's folder, exact resume, clean interruption.

    OUT.partial/                while it runs
        recipe.yaml
        checkpoint-500/         the model as it will be saved; optimiser, LR schedule, RNG, step
            complete            written last: a checkpoint without it was cut short and is not used
    OUT/                        appears by one rename when everything is there

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
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from midstream.building import build
from midstream.checkpoint import load_weights, written_whole
from midstream.data.cached import CachedRows, collate
from midstream.data.sources import open_rows
from midstream.errors import InputError
from midstream.modeling import MidstreamForCausalLM
from midstream.processing import MidstreamProcessor
from midstream.progress import Report, silent
from midstream.provenance import provenance
from midstream.recipe import Recipe
from midstream.training_callbacks import COMPLETE, CompleteMark, Interrupted, Interruption, Progress

RECIPE_NAME = "recipe.yaml"
REPORT_NAME = "training.json"
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG, errno.EACCES}


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a finished run tells: its folder, optimiser steps, seconds in this process, mean loss of the last log."""

    folder: Path
    steps: int
    seconds: float
    loss: float


class ConnectorTrainer(Trainer):
    """`Trainer` that saves and loads what Midstream does: connectors as safetensors, and no pickled arguments."""

    def __init__(self, joined: MidstreamForCausalLM, processor: MidstreamProcessor, **options: Any) -> None:
        super().__init__(model=joined, **options)
        self.joined = joined
        self.processor = processor

    def save_parts(self, folder: Path) -> None:
        """Write connectors and processor."""
        self.joined.save_pretrained(folder)
        self.processor.save_pretrained(folder)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        self.save_parts(Path(output_dir or str(self.args.output_dir)))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.joined.load_trained(load_weights(resume_from_checkpoint), resume_from_checkpoint)


def train(
    recipe: Recipe,
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    report: Report = silent,
    callbacks: Sequence[TrainerCallback] = (),
) -> TrainingResult:
    """Train a recipe and save the model, its processor, the recipe and a report in `out`.

    Args:
        recipe: see `midstream.recipe`.
        out: the folder to appear; while training, `out` + ".partial" holds the checkpoints.
        resume: go on from the last complete checkpoint, exactly.
        force: replace what is at `out`, and drop an interrupted run.
        report: told about features and steps.
        callbacks: more of Trainer's.

    Raises:
        InputError: `out` exists, nothing to resume, another recipe was interrupted, bad data, or a full disk.
        Interrupted: Ctrl-C; a checkpoint of the last step is kept.
    """
    out = Path(out)
    partial = out.with_name(out.name + ".partial")
    _prepare(recipe, out, partial, resume, force)
    interruption = Interruption()
    try:
        with interruption.watched():
            trainer = _trainer(recipe, partial, report, [interruption, *callbacks])
            checkpoint = _latest(partial)
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
        raise _interrupted(stop, partial) from None
    finally:
        _clean(partial)
    seconds = time.perf_counter() - started
    try:
        _save(trainer, recipe, out, seconds)
    except InputError as error:
        raise InputError(f"{error}; the finished run is kept in {partial}, save it with --resume") from None
    shutil.rmtree(partial, ignore_errors=True)
    return TrainingResult(out, trainer.state.global_step, seconds, _last_loss(trainer))


def _prepare(recipe: Recipe, out: Path, partial: Path, resume: bool, force: bool) -> None:
    """Refuse what would lose someone's work; then make the partial folder."""
    if out.exists() and not force:
        raise InputError(f"{out} exists already; choose another --out, or replace it with --force")
    if out.exists() and not (out / RECIPE_NAME).is_file():
        raise InputError(
            f"{out} was not written by midstream train, so --force will not replace it; choose another --out"
        )
    if resume:
        if not partial.is_dir():
            raise InputError(f"there is nothing to resume: {partial} does not exist; leave --resume out to start")
        _check_same(recipe, partial)
        _drop_cut_short(partial)
        return
    if partial.exists() and not force:
        raise InputError(f"{partial} holds an interrupted run; continue it with --resume, or drop it with --force")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        (partial / RECIPE_NAME).write_text(recipe.to_yaml(), encoding="utf-8")
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise InputError(f"cannot write to {partial} ({error.strerror}); choose another --out") from None


def _check_same(recipe: Recipe, partial: Path) -> None:
    """A resumed run must be the run that was interrupted, or it would be neither."""
    path = partial / RECIPE_NAME
    try:
        before = _flat(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); start again with --force") from None
    now = _flat(recipe.model_dump(mode="json"))
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if changed:
        key = changed[0]
        raise InputError(
            f"the interrupted run in {partial} had {key}={before.get(key)!r}, this one has {now.get(key)!r}; "
            f"resume with the same recipe and --set, or start again with --force"
        )


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict) or not tree:
        return {prefix.rstrip("."): tree}
    return {key: value for name, inner in tree.items() for key, value in _flat(inner, f"{prefix}{name}.").items()}


def _trainer(recipe: Recipe, partial: Path, report: Report, callbacks: list[TrainerCallback]) -> ConnectorTrainer:
    settings = recipe.training
    model, processor = build(recipe)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    rows: Any = open_rows(recipe.data, "train")
    arguments = TrainingArguments(
        output_dir=str(partial),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        learning_rate=settings.lr,
        warmup_steps=settings.warmup if settings.warmup else 0,
        lr_scheduler_type=settings.scheduler,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        seed=settings.seed,
        save_steps=settings.save_every,
        save_total_limit=2,
        logging_steps=settings.log_every,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
    )
    collator: Any = processor.training_batch
    if settings.cache_features:
        torch.nn.Module.to(model, arguments.device)
        total = len(rows)
        rows = CachedRows(rows, processor, model, progress=lambda done: report("encoding", done, total, ""))
        collator = collate
    trainer = ConnectorTrainer(
        model,
        processor,
        args=arguments,
        train_dataset=rows,
        data_collator=collator,
        callbacks=[Progress(report), CompleteMark(), *callbacks],
    )
    trainer.remove_callback(PrinterCallback)  # it prints dictionaries to stdout, which belongs to the result
    return trainer


def _latest(partial: Path) -> Path | None:
    """The complete checkpoint with the most steps."""
    complete = [path.parent for path in partial.glob(f"checkpoint-*/{COMPLETE}")]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _clean(partial: Path) -> None:
    """After a run, however it ended: nothing half-written, and without a checkpoint nothing at all."""
    _drop_cut_short(partial)
    if _latest(partial) is None:
        shutil.rmtree(partial, ignore_errors=True)


def _drop_cut_short(partial: Path) -> None:
    for folder in partial.glob("checkpoint-*"):
        if not (folder / COMPLETE).is_file():
            shutil.rmtree(folder, ignore_errors=True)
    for scratch in partial.glob(".checkpoint-*"):
        shutil.rmtree(scratch, ignore_errors=True)


def _save(trainer: ConnectorTrainer, recipe: Recipe, out: Path, seconds: float) -> None:
    summary = {
        "steps": trainer.state.global_step,
        "seconds": round(seconds, 1),
        "log": [entry for entry in trainer.state.log_history if "loss" in entry],
        "provenance": provenance(seed=recipe.training.seed, recipe=recipe.name),
    }
    with written_whole(out) as scratch:
        trainer.save_parts(scratch)
        (scratch / RECIPE_NAME).write_text(recipe.to_yaml(), encoding="utf-8")
        (scratch / REPORT_NAME).write_text(json.dumps(summary, indent=2), encoding="utf-8")
        if out.exists():  # allowed by --force; what was there must not shine through
            shutil.rmtree(out)


def _last_loss(trainer: ConnectorTrainer) -> float:
    return next((entry["loss"] for entry in reversed(trainer.state.log_history) if "loss" in entry), float("nan"))


def _interrupted(stop: KeyboardInterrupt, partial: Path) -> Interrupted:
    """What to tell after Ctrl-C."""
    if isinstance(stop, Interrupted):
        return stop
    kept = _latest(partial)
    if kept is None:
        return Interrupted("stopped before the first checkpoint; nothing is kept")
    return Interrupted(f"stopped; {kept.name} is kept, go on with the same command and --resume")


def _is_disk_trouble(error: Exception) -> bool:
    """Whether an error is about writing: torch reports a full disk as a RuntimeError of its zip writer."""
    if isinstance(error, OSError):
        return error.errno in DISK_ERRORS
    return isinstance(error, SafetensorError) or "PytorchStreamWriter" in str(error)
