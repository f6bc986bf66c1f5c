"""Scenes: determinism, disjoint splits, held-out pairs."""

from __future__ import annotations

from collections import Counter

import pytest

from midstream.pocket.data import scene_of
from midstream.pocket.world import HELD_OUT, PLACES, Bucket, Thing, make_scene, sample_scene


def test_a_scene_is_a_function_of_split_index_and_seed() -> None:
    assert sample_scene("train", 5, 1) == sample_scene("train", 5, 1)
    assert len({sample_scene("train", 5, seed) for seed in range(20)}) > 15
    assert len({sample_scene("train", index) for index in range(50)}) > 40


def test_splits_share_no_scene() -> None:
    buckets: tuple[Bucket, ...] = ("train", "validation", "test")
    keys = {bucket: {sample_scene(bucket, i, most=1).key for i in range(400)} for bucket in buckets}
    assert not keys["train"] & keys["test"]
    assert not keys["train"] & keys["validation"]
    assert not keys["validation"] & keys["test"]
    # control: one-thing scenes are few (864), so two samples of one split do meet
    assert keys["train"] & {sample_scene("train", i, 1, most=1).key for i in range(400)}


def test_held_out_pairs_are_absent_from_training_and_present_in_their_split() -> None:
    def pairs(split: str) -> list[set[tuple[str, str]]]:
        return [{(t.colour, t.shape) for t in scene_of(split, i).things} for i in range(400)]  # type: ignore[arg-type]

    for split in ("train", "validation", "test"):
        assert not any(found & HELD_OUT for found in pairs(split))
    assert all(found & HELD_OUT for found in pairs("held_out"))
    # control: without the rule they turn up
    assert sum(sample_scene("train", i).has_held_out for i in range(400)) > 50


def test_every_word_is_used_about_evenly() -> None:
    words = Counter(word for i in range(1500) for thing in sample_scene("train", i).things for word in thing)
    for group in (PLACES, ("small", "large")):
        counts = [words[word] for word in group]
        assert max(counts) < 1.3 * min(counts)


def test_make_scene_sorts_and_refuses() -> None:
    a, b = Thing("ring", "red", "small", "bottom"), Thing("star", "blue", "large", "top")
    assert make_scene([a, b]).things == (b, a)
    with pytest.raises(ValueError, match="share a cell"):
        make_scene([a, a])
    with pytest.raises(ValueError, match="unknown word 'pink'"):
        make_scene([a._replace(colour="pink")])
    with pytest.raises(ValueError, match="not 0"):
        make_scene([])
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        scene_of("dev", 0)  # type: ignore[arg-type]
