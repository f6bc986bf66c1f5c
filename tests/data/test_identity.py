"""Equal media have equal identities, whatever they are given as; different ones have different ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from midstream.data.identity import content_of, identity
from midstream.tasks.questions import identity as medium_identity

MEDIA: list[Any] = [
    "CCO",
    b"CCO",
    ["C", "CO"],
    ["CC", "O"],
    [],
    {},
    None,
    1,
    1.0,
    True,
    np.zeros((2, 3), np.float32),
    np.zeros((3, 2), np.float32),
    np.zeros((2, 3), np.float64),
    np.zeros((2, 3), np.int32),
    {"array": np.zeros(3), "sampling_rate": 16_000},
    {"array": np.zeros(3), "sampling_rate": 8_000},
    {"array": np.ones(3), "sampling_rate": 16_000},
    {"frames": [np.zeros((2, 2, 3), np.uint8)]},
    [0.0, 0.0],
    {"a": 1, "b": [1, 2]},
    {"a": 1, "b": [2, 1]},
    Image.new("RGB", (2, 3)),
    Image.new("RGB", (3, 2)),
    Image.new("L", (2, 9)),
    "x" * 5000,
    "a\0b",
]


def test_no_two_different_media_are_the_same() -> None:
    found = [content_of(medium) for medium in MEDIA]
    assert len(set(found)) == len(MEDIA)
    assert len({medium_identity(medium) for medium in MEDIA}) == len(MEDIA) - 1  # "CCO" and the bytes of it are one


@pytest.mark.parametrize("number", range(len(MEDIA)))
def test_the_same_again_is_the_same(number: int) -> None:
    import copy

    assert content_of(copy.deepcopy(MEDIA[number])) == content_of(MEDIA[number])


def test_what_does_not_matter_does_not_count() -> None:
    values = np.arange(6.0).reshape(2, 3)
    assert content_of(values) == content_of(np.asfortranarray(values)) == content_of(torch.from_numpy(values))
    assert content_of({"a": 1, "b": 2}) == content_of({"b": 2, "a": 1})


def test_files_and_folders_count_by_what_is_in_them(tmp_path: Path) -> None:
    file, folder = tmp_path / "a.wav", tmp_path / "frames"
    folder.mkdir()
    file.write_bytes(b"one")
    (folder / "0.png").write_bytes(b"one")
    assert content_of(str(file)) == content_of(file) == content_of(b"one")
    before = content_of(file), content_of(str(folder))
    file.write_bytes(b"two")
    (folder / "0.png").write_bytes(b"two")
    assert content_of(file) != before[0] and content_of(str(folder)) != before[1]


def test_rows_that_differ_in_one_sample_differ() -> None:
    def rows(value: float) -> list[dict[str, Any]]:
        sound = np.zeros(100_000, np.float32)
        sound[50_000] = value  # where a shortened repr does not look
        part = {"type": "audio", "audio": {"array": sound, "sampling_rate": 16_000}}
        return [{"messages": [{"role": "user", "content": [part]}, {"role": "assistant", "content": "x"}]}]

    assert identity(rows(0)) == identity(rows(0)) != identity(rows(0.5))
