"""Rows: the messages format, deterministic, picklable, and the same in words."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from PIL import Image

from midstream import pocket
from midstream.pocket.language import DESCRIBE, QUESTION_TYPES


def test_rows_have_the_shape_of_the_contract() -> None:
    for row in pocket.examples("train", 20, questions_per_scene=5):
        users, assistants = row["messages"][::2], row["messages"][1::2]
        assert [m["role"] for m in users] == ["user"] * len(users)
        assert [m["role"] for m in assistants] == ["assistant"] * len(assistants)
        assert len(row["types"]) == len(assistants) >= 2
        assert set(row["types"]) <= {*QUESTION_TYPES, DESCRIBE}
        assert row["types"].count(DESCRIBE) == 1
        pictures = [part["image"] for m in row["messages"] for part in m["content"] if part["type"] == "image"]
        assert len(pictures) == 1 and isinstance(pictures[0], Image.Image)
        assert users[0]["content"][0]["type"] == "image"
        assert len({m["content"][-1]["text"] for m in users}) == len(users)


def test_rows_are_deterministic_picklable_and_differ_by_seed() -> None:
    first, again, other = (pickle.dumps(pocket.examples("test", 5, seed=seed)) for seed in (0, 0, 1))
    assert first == again != other
    assert pickle.loads(first)[0]["id"] == "test-0-0"  # noqa: S301 - our own bytes


def test_describe_can_be_left_out() -> None:
    assert all(DESCRIBE not in row["types"] for row in pocket.examples("train", 20, include_describe=False))
    assert all(len(row["types"]) == 1 for row in pocket.examples("train", 20, 0, 1, include_describe=False))
    with pytest.raises(ValueError, match="at least 1, not 0"):
        pocket.examples("train", 1, questions_per_scene=0)


def test_described_rows_say_in_words_what_the_picture_shows() -> None:
    for index, row in enumerate(pocket.examples("test", 20)):
        words = pocket.described(row)
        assert words["messages"][0] == {"role": "system", "content": row["description"]}
        assert [m["content"][-1] for m in words["messages"][1:]] == [m["content"][-1] for m in row["messages"]]
        assert all(part["type"] == "text" for m in words["messages"][1:] for part in m["content"])
        assert all(word in row["description"] for thing in pocket.scene_of("test", index).things for word in thing)
        assert row["messages"][0]["content"][0]["type"] == "image"  # the original is left as it was


def test_importing_pocket_is_cheap() -> None:
    code = "import sys, midstream.pocket; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
