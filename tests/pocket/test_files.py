"""Rows of the worlds as files: what is read back is what was drawn, and the JSONL is a data set."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midstream import media
from midstream.data.formats import read_jsonl
from midstream.errors import InputError
from midstream.pocket.files import command, write_examples
from midstream.pocket.worlds import WORLDS, example_of


def _read(kind: str, source: Any, like: Any) -> Any:
    if kind == "image":
        return np.asarray(media.load_image(source)), np.asarray(like)
    if kind == "audio":
        return media.load_audio(source, like["sampling_rate"]), like["array"]
    if kind == "video":
        return media.load_video(source, len(like)).astype(float), like.astype(float)
    if kind == "series":
        return media.load_series(source), like
    return np.array([ord(letter) for letter in source]), np.array([ord(letter) for letter in like])


@pytest.mark.parametrize("world", WORLDS)
def test_files_hold_what_was_drawn(world: str, tmp_path: Path) -> None:
    write_examples(world, 2, tmp_path)
    rows = list(read_jsonl(tmp_path / "questions.jsonl", None))
    assert len(rows) == 2
    for index, row in enumerate(rows):
        drawn = example_of(world)("test", index, questions_per_scene=2, include_describe=False)
        assert row["id"] == drawn["id"] and row["description"] == drawn["description"]
        other = example_of(world)("test", index + 2, questions_per_scene=2, include_describe=False)
        parts = zip(*(entry["messages"][0]["content"] for entry in (row, drawn, other)), strict=False)
        for part, was, another in parts:
            kind = part["type"]
            if kind == "text":
                assert part["text"] == was["text"]
                continue
            found, wanted = _read(kind, part[kind], was[kind])
            _, wrong = _read(kind, part[kind], another[kind])
            assert found.shape == wanted.shape
            loss = 4.0 if kind == "video" else 1e-4  # of 255: what H.264 takes away
            assert np.abs(found - wanted).mean() <= loss
            assert (
                wrong.shape != found.shape or np.abs(found - wrong).mean() > loss
            )  # the control: not any file will do


def test_a_row_says_how_to_ask_about_it(tmp_path: Path) -> None:
    row = write_examples("sounds", 1, tmp_path)[0]
    words = command("pocket-audio", row, tmp_path)
    assert words[:4] == ["midstream", "ask", "pocket-audio", "--audio"] and Path(words[4]).is_file()
    assert words[5] == row["messages"][0]["content"][-1]["text"]
    with pytest.raises(InputError, match="no pocket world 'smells'"):
        write_examples("smells", 1, tmp_path)
