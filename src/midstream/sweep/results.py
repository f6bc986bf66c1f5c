"""The results of a sweep as files: one JSONL for each finished cell, one Parquet table of all. Measures nothing.

    results/NAME/cells/CELL.yaml      what the cell is: recipe, fraction, evaluation
    results/NAME/cells/CELL.jsonl     its rows; appears by one rename when the cell is done
    results/NAME.parquet              all rows of all cells; everything `midstream report` needs

One row for each cell, split, kind of question and condition; `COLUMNS` lists the columns. The score of every question
stands in the row for all kinds, so that intervals can be made from the table alone.
"""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from midstream.errors import InputError

ALL = "all"
"""The kind of a row over all questions."""
CAPTIONS = "captions"
"""The kind of a row over descriptions."""
MOVED = "moved to "
"""Begins the condition in which a trained connector's tokens enter at another layer."""

COLUMNS: dict[str, str] = {
    "cell": "string",
    "method": "string",
    "modality": "string",
    "lm": "string",
    "data": "string",
    "enter": "int64",
    "leave": "int64",
    "connector": "string",
    "tokens": "int64",
    "learned_tokens": "int64",
    "trained_parameters": "int64",
    "data_fraction": "double",
    "seed": "int64",
    "split": "string",
    "kind": "string",
    "metric": "string",
    "condition": "string",
    "value": "double",
    "n": "int64",
    "bad": "int64",
    "steps": "int64",
    "batch_size": "int64",
    "learning_rate": "double",
    "loss": "double",
    "train_seconds": "double",
    "cache_seconds": "double",
    "prefill_ms": "double",
    "clock": "string",
    "text_tokens": "int64",
    "prefill_flops": "int64",
    "encoder_flops": "int64",
    "train_step_flops": "int64",
    "decode_flops": "int64",
    "kv_bytes": "int64",
    "prefill_of_entry_0": "double",
    "train_step_of_entry_0": "double",
    "kv_of_entry_0": "double",
    "grid": "string",
    "recipe": "string",
    "settings": "string",
    "layers": "int64",
    "recipe_hash": "string",
    "question_set": "string",
    "parts": "string",
    "revision": "string",
    "versions": "string",
    "machine": "string",
    "command": "string",
    "date": "string",
    "scores": "list",
    "scenes": "list",
}
"""Column -> its type; `docs/sweep.md` says what each holds."""


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the rows of a cell, whole or not at all.

    Raises:
        InputError: the disk is full or not writable.
    """
    scratch = path.with_suffix(f".{os.getpid()}.part")
    try:
        with scratch.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(dict.fromkeys(COLUMNS) | dict(row), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        raise InputError(f"writing {path} failed ({error.strerror}); free some space and run it again") from None
    finally:
        scratch.unlink(missing_ok=True)


def read_rows(path: Path) -> list[dict[str, Any]] | None:
    """The rows of a cell; None where the file is not there, or not whole."""
    try:
        text = path.read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.splitlines()]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    whole = text.endswith("\n") and all(isinstance(row, dict) and row.keys() == COLUMNS.keys() for row in rows)
    return rows if whole else None


def gather(folder: Path, table: Path) -> list[dict[str, Any]]:
    """Write every finished cell of a sweep into one Parquet table; returns its rows.

    Raises:
        InputError: the disk is full or not writable.
    """
    rows = [row for path in sorted((folder / "cells").glob("*.jsonl")) for row in read_rows(path) or []]
    write_table(table, rows)
    return rows


def scatter(table: Path, folder: Path) -> None:
    """Write the cells of a table into a sweep's folder that has none yet; what `gather` did, the other way round.

    Raises:
        InputError: the table is none of `midstream sweep`, or the folder cannot be written.
    """
    cells = folder / "cells"
    if cells.exists() or not table.is_file():
        return
    found: dict[str, list[dict[str, Any]]] = {}
    for row in read_table(table):
        found.setdefault(row["cell"], []).append(row)
    scratch = folder / f"cells.{os.getpid()}.part"
    try:
        scratch.mkdir(parents=True)
        for name, rows in found.items():
            write_rows(scratch / f"{name}.jsonl", rows)
        scratch.rename(cells)
    except OSError as error:
        if cells.exists():  # another process was quicker
            return
        raise InputError(f"cannot write to {folder} ({error.strerror}); choose another --out") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def mixed_parts(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Frozen parts that had other weights in some rows than in others under the same name: not to be compared."""
    found: dict[str, set[str]] = {}
    for row in rows:
        for part, weights in json.loads(row["parts"] or "{}").items():
            found.setdefault(part, set()).add(weights)
    return sorted(part for part, weights in found.items() if len(weights) > 1)


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as Parquet, whole or not at all.

    Raises:
        InputError: the disk is full or not writable.
    """
    import pyarrow
    from pyarrow import parquet

    types = {"list": pyarrow.list_(pyarrow.float32())}
    types |= {name: getattr(pyarrow, {"double": "float64"}.get(name, name))() for name in ("string", "int64", "double")}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    scratch = path.with_suffix(f".{os.getpid()}.part")
    try:
        parquet.write_table(pyarrow.Table.from_pylist(rows, schema), scratch, compression="zstd")
        scratch.replace(path)
    except OSError as error:
        raise InputError(f"writing {path} failed ({error.strerror or error}); free some space and try again") from None
    finally:
        scratch.unlink(missing_ok=True)


def read_table(path: Path) -> list[dict[str, Any]]:
    """The rows of a results table.

    Raises:
        InputError: no such file, or not one that `midstream sweep` wrote.
    """
    import pyarrow
    from pyarrow import parquet

    if not path.is_file():
        raise InputError(f"there is no results table {path}; midstream sweep writes one")
    try:
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path} is no Parquet table: {str(error).splitlines()[0]}") from None
    if rows and (missing := COLUMNS.keys() - rows[0].keys()):
        raise InputError(f"{path} has no column {sorted(missing)[0]}; midstream sweep writes such tables")
    return rows


def check_same(name: str, before: Path, facts: Mapping[str, Any]) -> bool:
    """Whether a cell was begun as what it is now; False where it was not begun at all.

    Raises:
        InputError: it was begun as something else; names the first key that differs.
    """
    from midstream.run_folder import first_change

    try:
        told = yaml.safe_load(before.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return False
    if found := first_change(told, json.loads(json.dumps(facts))):
        key, old, new = found
        raise InputError(
            f"{before.parent.parent} holds the cell {name} with {key}={old!r}, but the grid now says "
            f"{new!r}; choose another --out, or measure such cells again with --redo"
        )
    return True
