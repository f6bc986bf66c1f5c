"""Pocket recordings as training and test rows: the rows of `midstream.pocket.rows`, about three lines.

Owns the series part: ``{"type": "series", "series": float32 (96, 3)}``.
"""

from __future__ import annotations

import random
from typing import Any

from midstream.pocket.rows import Row, Split, drawn, row_of
from midstream.pocket.series import language
from midstream.pocket.series.render import render
from midstream.pocket.series.world import Recording, sample


def _media(recording: Recording, rng: random.Random) -> list[dict[str, Any]]:
    return [{"type": "series", "series": render(recording, seed=rng.getrandbits(32))}]


def example(
    split: Split, index: int, seed: int = 0, questions_per_scene: int = 4, include_describe: bool = True
) -> Row:
    """Row ``index`` of a split; see `midstream.pocket.rows`. Held out are triples of a line's attributes."""
    rng, name = random.Random(f"series row/{split}/{seed}/{index}"), f"series-{split}-{seed}-{index}"
    recording = drawn(sample, split, index, seed)
    return row_of(recording, language, _media, rng, name, questions_per_scene, include_describe)
