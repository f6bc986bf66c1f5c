"""Rows of the pocket worlds as ordinary files: PNG, WAV, MP4, CSV, SMILES, and a JSONL of the questions about them.

What a user's own data would look like; `{kind: jsonl, validation: FOLDER/questions.jsonl}` reads them back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from midstream.errors import InputError
from midstream.pocket.worlds import example_of

FRAMES_PER_SECOND: Final = 4
LINES: Final = "red,green,blue"
"""Columns of a series: the pocket lines are known by these colours."""


def write_examples(
    world: str, count: int, folder: Path, split: str = "test", questions: int = 2
) -> list[dict[str, Any]]:
    """Write `count` rows of a world, each medium as a file.

    Args:
        world: see `midstream.pocket.worlds`.
        count: rows.
        folder: created when missing; files of the same names are replaced.
        split: which rows.
        questions: about each.

    Returns:
        the rows, with paths relative to `folder` (SMILES as they are), as written to `folder/questions.jsonl`.

    Raises:
        InputError: an unknown world, or a library that writes one of the files is missing.
    """
    example = example_of(world)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(count):
        row = example(split, index, questions_per_scene=questions, include_describe=False)
        for part in row["messages"][0]["content"]:
            if part["type"] != "text":
                part[part["type"]] = _WRITERS[part["type"]](part[part["type"]], folder / f"{part['type']}-{index}")
        rows.append(row)
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows


def _picture(picture: Any, stem: Path) -> str:
    path = stem.with_suffix(".png")
    picture.save(path)
    return path.name


def _sound(sound: Any, stem: Path) -> str:
    import soundfile

    path = stem.with_suffix(".wav")
    soundfile.write(path, sound["array"], sound["sampling_rate"], subtype="FLOAT")
    return path.name


def _clip(frames_FHWC: Any, stem: Path) -> str:
    import av

    path = stem.with_suffix(".mp4")
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.height, stream.width = frames_FHWC.shape[1:3]
        stream.pix_fmt, stream.options = "yuv444p", {"crf": "8"}  # full colour: small things are seen by it
        for pixels in np.asarray(frames_FHWC):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        file.mux(stream.encode())
    return path.name


def _series(values_TC: Any, stem: Path) -> str:
    path = stem.with_suffix(".csv")
    np.savetxt(path, np.asarray(values_TC), delimiter=",", header=LINES, comments="", fmt="%.6g")
    return path.name


_WRITERS: Final[dict[str, Callable[[Any, Path], str]]] = {
    "image": _picture,
    "audio": _sound,
    "video": _clip,
    "series": _series,
    "molecule": lambda smiles, stem: str(smiles),
}


def command(model: str, row: dict[str, Any], folder: Path) -> Sequence[str]:
    """The words of a `midstream ask` about the first question of a row."""
    options = {"image": "--image", "audio": "--audio", "video": "--video", "series": "--series", "molecule": "--smiles"}
    words = ["midstream", "ask", model]
    for part in row["messages"][0]["content"]:
        if part["type"] == "text":
            return [*words, part["text"]]
        item = part[part["type"]]
        words += [options[part["type"]], item if part["type"] == "molecule" else str(folder / item)]
    raise InputError(f"row {row['id']} asks nothing")
