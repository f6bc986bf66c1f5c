"""Pairs as training and test rows: a picture and a sound in the first turn, then questions that need one or both.

Owns the two media parts before the first question; the row is as in `midstream.pocket.rows`.
"""

from __future__ import annotations

import random
from typing import Any

from midstream.pocket.pair import language
from midstream.pocket.pair.world import Pair, sample
from midstream.pocket.render import render
from midstream.pocket.rows import Row, Split, drawn, row_of
from midstream.pocket.sounds import data as sounds


def _media(pair: Pair, rng: random.Random) -> list[dict[str, Any]]:
    picture = {"type": "image", "image": render(pair.picture, seed=rng.getrandbits(32))}
    return [picture, sounds.part(pair.sound, rng)]


def example(
    split: Split, index: int, seed: int = 0, questions_per_scene: int = 4, include_describe: bool = True
) -> Row:
    """Row ``index`` of a split: one picture, one sound and questions about both; see `midstream.pocket.rows`.

    Held out are six pairs of colour and shape, seen or heard.
    """
    rng, name = random.Random(f"pair/{split}/{seed}/{index}"), f"picture_and_sound-{split}-{seed}-{index}"
    pair = drawn(sample, split, index, seed)
    return row_of(pair, language, _media, rng, name, questions_per_scene, include_describe)
