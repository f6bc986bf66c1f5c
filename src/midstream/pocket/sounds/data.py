"""Sounds as training and test rows: the rows of `midstream.pocket.rows`, about the very scenes that pictures show.

Owns the audio part: ``{"type": "audio", "audio": {"array": float32 (samples,), "sampling_rate": 16000}}``.
"""

from __future__ import annotations

import random
from typing import Any

from midstream.pocket.data import scene_of
from midstream.pocket.rows import Row, Split, row_of
from midstream.pocket.sounds import language
from midstream.pocket.sounds.render import RATE, render
from midstream.pocket.world import Scene


def part(scene: Scene, rng: random.Random) -> dict[str, Any]:
    """The audio part of a message: a sound of the scene, with its sampling rate."""
    return {"type": "audio", "audio": {"array": render(scene, rng.getrandbits(32)), "sampling_rate": RATE}}


def example(
    split: Split, index: int, seed: int = 0, questions_per_scene: int = 4, include_describe: bool = True
) -> Row:
    """Row ``index`` of a split; the same scene as the picture of `midstream.pocket.data.example`, other questions.

    See `midstream.pocket.rows.drawn` and `row_of`; held out are six pairs of colour and shape.
    """
    rng, name = random.Random(f"sounds/{split}/{seed}/{index}"), f"sounds-{split}-{seed}-{index}"
    scene = scene_of(split, index, seed)
    return row_of(scene, language, lambda s, r: [part(s, r)], rng, name, questions_per_scene, include_describe)
