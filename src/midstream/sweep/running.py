"""Runs a sweep: cell after cell, each trained, measured and written down before the next; begun again, it goes on.

    results/NAME/
        GRID.yaml           each grid as it was run last
        cells/CELL.yaml     what the cell is, before it is begun
        cells/CELL.jsonl    its rows: the cell is done
        cells/CELL.failed   why it could not be done, for this time
        models/CELL         its model, until it is measured; with --keep, for good
    results/NAME.parquet    all rows

Safe against an end at any moment: everything appears by a rename, and training goes on from its own checkpoint. Where
there is only the table, as in a fresh clone, the cells are taken from there.
"""

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from midstream.errors import InputError
from midstream.modeling import MidstreamForCausalLM
from midstream.processing import MidstreamProcessor
from midstream.progress import Report
from midstream.recipe import Recipe, load_recipe
from midstream.run_folder import RECIPE_NAME, latest, partial_of
from midstream.sweep.board import Board, Progress
from midstream.sweep.cells import Cell
from midstream.sweep.grid import Grid
from midstream.sweep.measuring import rows_of
from midstream.sweep.processes import Share
from midstream.sweep.results import ALL, check_same, gather, mixed_parts, read_rows, scatter, write_rows
from midstream.training import REPORT_NAME, train
from midstream.training_callbacks import Interrupted

LOOK_AGAIN = 1.0
"""Seconds between looks at what other processes have finished."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sweep came to.

    Args:
        table: the Parquet file.
        rows: in it.
        done: cells that are done now, of all that were asked for.
        cells: that were asked for.
        failed: cell -> why it could not be done.
        mixed: frozen parts that had other weights in some cells than in others.
    """

    table: Path
    rows: int
    done: int
    cells: int
    failed: dict[str, str]
    mixed: list[str]


def table_of(out: Path) -> Path:
    """Where the table of a sweep's folder lies: beside it."""
    return out.with_name(out.name + ".parquet")


def run(
    grids: Sequence[Grid],
    cells: Sequence[Cell],
    out: Path,
    *,
    share: Share | None = None,
    redo: bool = False,
    keep: bool = False,
    listener: Callable[[Board], None] = lambda board: None,
) -> Outcome:
    """Run every cell that is not done yet, and gather all of them into one table.

    Args:
        grids: for the record.
        cells: what is to be done.
        out: the sweep's folder.
        share: which of many processes this is; the first one waits for the others and gathers.
        redo: measure cells again that were begun as something else.
        keep: keep the models.
        listener: told of every change.

    Raises:
        InputError: the folder holds cells of the same names that are something else, or cannot be written.
        Interrupted: Ctrl-C; the finished cells are kept.
    """
    share = share or Share()
    scatter(table_of(out), out)
    todo = [cell for cell in cells if not _is_done(cell, out, redo)]
    board = Board([Progress(cell.name) for cell in cells], share.of, listener)
    for cell in cells:
        if cell not in todo:
            board.change(cell.name, state="done", accuracy=_accuracy(out, cell))
    if share.number == 0:
        for grid in grids:
            _write(out / f"{grid.name}.yaml", grid.model_dump(mode="json"))
    mine = [cell for cell in share.of_items(cells) if cell in todo]  # of all: what is done already differs with time
    for cell in mine:
        _begin(cell, out, redo)
    for cell in mine:
        _run_one(cell, out, keep, board)
        if share.number == 0:
            gather(out, table_of(out))
            _look(todo, out, board)
    if share.number == 0:
        while any(board.of(cell.name).state not in ("done", "failed") for cell in todo):
            time.sleep(LOOK_AGAIN)
            _look(todo, out, board)
    failed = {cell.name: text for cell in cells if (text := _failure(out, cell)) is not None}
    rows = gather(out, table_of(out)) if share.number == 0 else []
    return Outcome(table_of(out), len(rows), board.count("done"), len(cells), failed, mixed_parts(rows))


def _is_done(cell: Cell, out: Path, redo: bool) -> bool:
    """Whether a cell is done as what it is now.

    Raises:
        InputError: it was begun as something else, and is not to be done again.
    """
    try:
        check_same(cell.name, _path(out, cell, "yaml"), cell.facts())
    except InputError:
        if not redo:
            raise
        return False
    rows = read_rows(_path(out, cell, "jsonl"))
    return bool(rows) and rows is not None and rows[0]["recipe_hash"] == cell.digest()


def _begin(cell: Cell, out: Path, redo: bool) -> None:
    """Write down what a cell is; what is left of another one under its name goes."""
    known = _path(out, cell, "yaml")
    try:
        if check_same(cell.name, known, cell.facts()):
            return
    except InputError:
        if not redo:
            raise
    for path in (_path(out, cell, "jsonl"), _path(out, cell, "failed"), _resumed(out, cell)):
        path.unlink(missing_ok=True)
    for folder in (_model(out, cell), partial_of(_model(out, cell))):
        shutil.rmtree(folder, ignore_errors=True)
    _write(known, cell.facts())


def _run_one(cell: Cell, out: Path, keep: bool, board: Board) -> None:
    """Train, measure and write down one cell. What the user can mend fails the cell, and the others go on."""
    failed = _path(out, cell, "failed")
    failed.unlink(missing_ok=True)
    board.begin(cell.name)

    def report(stage: str, done: int, total: int, note: str = "") -> None:
        state = "evaluating" if stage == "evaluating" else "training"
        board.change(cell.name, state=state, done=done, total=total, note=f"{stage} {note}".strip())

    try:
        trained = _train(cell, out, report)
        folder = _model(out, cell)
        model = MidstreamForCausalLM.from_pretrained(folder)
        if torch.cuda.is_available():
            torch.nn.Module.to(model, "cuda")
        rows = rows_of(cell, model, MidstreamProcessor.from_pretrained(folder), trained, report)
        write_rows(_path(out, cell, "jsonl"), [row | {"grid": cell.grid} for row in rows])
    except KeyboardInterrupt:
        raise Interrupted(_stopped(cell, out, board)) from None
    except (InputError, torch.OutOfMemoryError) as error:
        failed.write_text(" ".join(str(error).split()), encoding="utf-8")
        board.change(cell.name, state="failed", note=str(error))
        return
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
        _resumed(out, cell).unlink(missing_ok=True)
    board.change(cell.name, state="done", accuracy=_accuracy(out, cell))


def _stopped(cell: Cell, out: Path, board: Board) -> str:
    kept = latest(partial_of(_model(out, cell))) is not None or _model(out, cell).exists()
    done = f"{board.count('done')} of {len(board.cells)} cells are done"
    more = "what is trained of it is kept" if kept else "it begins again"
    return f"stopped in {cell.name}: {done}; go on with the same command ({more})"


def _train(cell: Cell, out: Path, report: Report) -> dict[str, Any]:
    """Train a cell, or go on with it, or take the model that is there."""
    folder = _model(out, cell)
    if not _holds(folder / RECIPE_NAME, cell.recipe):
        going_on = _holds(partial_of(folder) / RECIPE_NAME, cell.recipe)
        if going_on:
            _resumed(out, cell).touch()
        train(cell.recipe, folder, resume=going_on, force=not going_on, report=report)
    told = json.loads((folder / REPORT_NAME).read_text(encoding="utf-8"))
    resumed = _resumed(out, cell).exists()  # then the seconds are those of the last part only
    return {
        "steps": told["steps"],
        "loss": told["log"][-1]["loss"] if told["log"] else None,
        "train_seconds": None if resumed else told["seconds"],
        "cache_seconds": None if resumed else told["cache_seconds"],
    }


def _holds(path: Path, recipe: Recipe) -> bool:
    try:
        return path.is_file() and load_recipe(path) == recipe
    except InputError:  # cut short
        return False


def _look(todo: Sequence[Cell], out: Path, board: Board) -> None:
    """See which cells other processes have finished."""
    for cell in todo:
        if board.of(cell.name).state not in ("done", "failed"):
            if _path(out, cell, "jsonl").is_file():
                board.change(cell.name, state="done", accuracy=_accuracy(out, cell))
            elif (text := _failure(out, cell)) is not None:
                board.change(cell.name, state="failed", note=text)


def _accuracy(out: Path, cell: Cell) -> float | None:
    rows = read_rows(_path(out, cell, "jsonl")) or []
    wanted = (row["value"] for row in rows if row["condition"] == "accuracy" and row["kind"] == ALL)
    return next(wanted, None)


def _failure(out: Path, cell: Cell) -> str | None:
    path = _path(out, cell, "failed")
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _path(out: Path, cell: Cell, ending: str) -> Path:
    return out / "cells" / f"{cell.name}.{ending}"


def _model(out: Path, cell: Cell) -> Path:
    return out / "models" / cell.name


def _resumed(out: Path, cell: Cell) -> Path:
    return out / "models" / f"{cell.name}.resumed"


def _write(path: Path, tree: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(path.suffix + ".part")
        scratch.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        raise InputError(f"cannot write to {path.parent} ({error.strerror}); choose another --out") from None
