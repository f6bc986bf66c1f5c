"""Pocket clips as training and test rows: the rows of `midstream.pocket.rows`, about moving objects.

Owns the video part: ``{"type": "video", "video": uint8 (8, 64, 64, 3)}``.
"""

from __future__ import annotations

import random
from typing import Any

from midstream.pocket.motion import language
from midstream.pocket.motion.render import frozen, render
from midstream.pocket.motion.world import Clip, sample
from midstream.pocket.rows import Row, Split, drawn, row_of


def _media(clip: Clip, rng: random.Random) -> list[dict[str, Any]]:
    return [{"type": "video", "video": render(clip, seed=rng.getrandbits(32))}]


def example(
    split: Split, index: int, seed: int = 0, questions_per_scene: int = 4, include_describe: bool = True
) -> Row:
    """Row ``index`` of a split; see `midstream.pocket.rows`. Held out are pairs of shape and direction."""
    rng, name = random.Random(f"motion row/{split}/{seed}/{index}"), f"motion-{split}-{seed}-{index}"
    clip = drawn(sample, split, index, seed)
    return row_of(clip, language, _media, rng, name, questions_per_scene, include_describe)


def one_frame(row: Row) -> Row:
    """The same row, its clip frozen at the fifth of its frames: what is asked about motion has lost its answer."""
    first, *others = row["messages"]
    parts = [{**part, "video": frozen(part["video"])} if part["type"] == "video" else part for part in first["content"]]
    return {**row, "messages": [{**first, "content": parts}, *others]}
