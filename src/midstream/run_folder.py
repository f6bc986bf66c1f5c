"""The folder of a training run: what may be begun or resumed there, and which of its checkpoints is whole.

    OUT.partial/                while it runs
        recipe.yaml
        checkpoint-500/         the model as it will be saved; optimiser, LR schedule, RNG, step
            complete            written last: a checkpoint without it was cut short and is not used
    OUT/                        appears by one rename when everything is there

Knows recipes as trees to compare, and nothing of models or of how they are trained.
"""

import shutil
from pathlib import Path
from typing import Any

import yaml

from midstream.errors import InputError
from midstream.recipe import Recipe

RECIPE_NAME = "recipe.yaml"
COMPLETE = "complete"


def partial_of(out: Path) -> Path:
    """Where a run keeps what it has until it is finished."""
    return out.with_name(out.name + ".partial")


def prepare(recipe: Recipe, out: Path, resume: bool, force: bool) -> None:
    """Refuse what would lose someone's work; then make the partial folder.

    Raises:
        InputError: something is there already, or nothing is to resume, or another recipe was interrupted.
    """
    partial = partial_of(out)
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
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); start again with --force") from None
    if found := first_change(before, recipe.model_dump(mode="json")):
        key, old, new = found
        raise InputError(
            f"the interrupted run in {partial} had {key}={old!r}, this one has {new!r}; "
            f"resume with the same recipe and --set, or start again with --force"
        )


def first_change(before: Any, now: Any) -> tuple[str, Any, Any] | None:
    """The first dotted key in which two trees of settings differ, with both values; None where they are the same."""
    old, new = flat(before), flat(now)
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return (changed[0], old.get(changed[0]), new.get(changed[0])) if changed else None


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """A tree of settings as dotted keys and their values."""
    if not isinstance(tree, dict) or not tree:
        return {prefix.rstrip("."): tree}
    return {key: value for name, inner in tree.items() for key, value in flat(inner, f"{prefix}{name}.").items()}


def latest(partial: Path) -> Path | None:
    """The complete checkpoint with the most steps."""
    complete = [path.parent for path in partial.glob(f"checkpoint-*/{COMPLETE}")]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def clean(partial: Path) -> None:
    """After a run, however it ended: nothing half-written, and without a checkpoint nothing at all."""
    _drop_cut_short(partial)
    if latest(partial) is None:
        shutil.rmtree(partial, ignore_errors=True)


def _drop_cut_short(partial: Path) -> None:
    for folder in partial.glob("checkpoint-*"):
        if not (folder / COMPLETE).is_file():
            shutil.rmtree(folder, ignore_errors=True)
    for scratch in partial.glob(".checkpoint-*"):
        shutil.rmtree(scratch, ignore_errors=True)
