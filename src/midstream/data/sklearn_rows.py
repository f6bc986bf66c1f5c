"""Real data that ship with scikit-learn, as JSON lines: ``python -m midstream.data.sklearn_rows NAME``.

Owns the questions that are asked of them and how they are split. Nothing is downloaded: the data are inside the
scikit-learn package (``pip install scikit-learn``). What is written:

    OUT/train.jsonl, OUT/validation.jsonl, OUT/test.jsonl    70, 10 and 20 in 100, drawn class by class
    OUT/pictures/0000.png, ...                               digits only: 64 x 64 grey, enlarged from 8 x 8
    OUT/columns.json                                         tables only: mean and spread of the training rows' columns
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from midstream.data.parts import one_turn
from midstream.data.rows import Row
from midstream.errors import InputError
from midstream.table_encoder import column_statistics

DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPLITS: Final = ("train", "validation", "test")
SIDE: Final = 64
"""Pixels of a digit's side as written."""


def write_rows(name: str, out: str | Path) -> dict[str, int]:
    """Write one of the data sets.

    Args:
        name: `digits` (1,797 handwritten digits, "which digit is it?"), `wine` (178 wines by 13 measurements of three
            growers, "which wine is it?") or `breast_cancer` (569 tumours by 30 measurements, "is it malignant?").
        out: the folder, made where it is not there.

    Returns:
        split -> number of rows.

    Raises:
        InputError: another name, or scikit-learn is not installed.
    """
    if name not in _MAKERS:
        raise InputError(f"there is no data set {name!r} here; choose one of {', '.join(_MAKERS)}")
    try:
        import sklearn.datasets
    except ImportError:
        raise InputError("scikit-learn is not installed; pip install scikit-learn") from None
    bunch = getattr(sklearn.datasets, f"load_{name}")()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = _MAKERS[name](bunch, folder)
    counts = {}
    for split, indices in zip(SPLITS, split_by_class(bunch.target), strict=True):
        lines = [json.dumps(rows[index]) + "\n" for index in indices]
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
        counts[split] = len(lines)
        if split == "train" and "table" in rows[0]["messages"][0]["content"][0]:
            tables = [rows[index]["messages"][0]["content"][0]["table"] for index in indices]
            (folder / "columns.json").write_text(json.dumps(column_statistics(tables), indent=1), encoding="utf-8")
    return counts


def split_by_class(target: Any, seed: int = 0) -> tuple[list[int], list[int], list[int]]:
    """Indices for training, validation and test: 70, 10 and 20 in 100 of every class, in a fixed random order."""
    rng = np.random.default_rng(seed)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for label in np.unique(target):
        members = rng.permutation(np.flatnonzero(target == label))
        first, second = round(0.7 * len(members)), round(0.8 * len(members))
        for part, some in zip(parts, np.split(members, [first, second]), strict=True):
            part += [int(index) for index in some]
    return tuple(sorted(part, key=lambda _: rng.random()) for part in parts)  # type: ignore[return-value]


def _digits(bunch: Any, folder: Path) -> list[Row]:
    (folder / "pictures").mkdir(exist_ok=True)
    rows = []
    for index, (pixels, digit) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        path = f"pictures/{index:04d}.png"
        small = Image.fromarray((pixels * (255 / 16)).round().astype(np.uint8))
        small.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / path)
        word = DIGITS[digit]
        messages = one_turn([("image", path)], "which digit is it?", word)
        described = f"the digit is {word}."
        rows.append({"id": f"digits-{index}", "messages": messages, "types": [word], "description": described})
    return rows


def _tables(bunch: Any, question: str, answers: Sequence[str], name: str) -> list[Row]:
    rows = []
    for index, (values, label) in enumerate(zip(bunch.data, bunch.target, strict=True)):
        table = {str(column): float(value) for column, value in zip(bunch.feature_names, values, strict=True)}
        messages = one_turn([("table", table)], question, answers[label])
        rows.append({"id": f"{name}-{index}", "messages": messages, "types": [answers[label]]})
    return rows


_MAKERS: Final[dict[str, Any]] = {
    "digits": _digits,
    "wine": lambda bunch, folder: _tables(bunch, "which wine is it?", ("one", "two", "three"), "wine"),
    "breast_cancer": lambda bunch, folder: _tables(bunch, "is it malignant?", ("yes", "no"), "breast_cancer"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m midstream.data.sklearn_rows",
        description="Write a data set that ships with scikit-learn as JSON lines of messages.",
        epilog="example:  python -m midstream.data.sklearn_rows wine --out data/wine",
    )
    parser.add_argument("name", choices=tuple(_MAKERS))
    parser.add_argument("--out", type=Path, help="folder to write (default: data/NAME)")
    arguments = parser.parse_args(argv)
    out = arguments.out or Path("data") / arguments.name
    try:
        counts = write_rows(arguments.name, out)
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{out}: " + ", ".join(f"{count} {split}" for split, count in counts.items()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
