"""Pocket clips as training and test rows: conversations about videos in the messages format.

Owns which clips, questions and frames a row is made of. Rows are as in `midstream.pocket.data`, with a part
``{"type": "video", "video": uint8 (8, 64, 64, 3)}`` in front of the first question.
"""

from __future__ import annotations

import random

from midstream.pocket.data import SPLITS, Row, Split, turns
from midstream.pocket.motion import language
from midstream.pocket.motion.render import frozen, render
from midstream.pocket.motion.world import Clip, sample


def clip_of(split: Split, index: int, seed: int = 0) -> Clip:
    """The clip that row ``index`` of a split is about.

    Raises:
        ValueError: an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    bucket, held_out = SPLITS[split]
    return sample(bucket, index, seed, held_out=held_out)


def example(
    split: Split, index: int, seed: int = 0, questions_per_scene: int = 4, include_describe: bool = True
) -> Row:
    """Row ``index`` of a split; a pure function of its arguments.

    Args:
        split: ``train``, ``validation``, ``test`` (none shows a held-out shape and direction) or ``held_out``.
        index: which row.
        seed: another seed gives other clips, questions and frames.
        questions_per_scene: question turns (a clip with little to ask about may give fewer, never none).
        include_describe: one more turn, whose answer is the full canonical description.

    Raises:
        ValueError: an unknown split.
    """
    clip = clip_of(split, index, seed)
    rng = random.Random(f"motion row/{split}/{seed}/{index}")
    asked = language.ask_many(clip, rng, questions_per_scene)
    if include_describe:
        asked.insert(rng.randint(0, len(asked)), language.ask_describe(clip, rng))
    video = render(clip, seed=rng.getrandbits(32))
    return {
        "messages": turns([{"type": "video", "video": video}], asked),
        "types": [question.kind for question in asked],
        "id": f"motion-{split}-{seed}-{index}",
        "description": language.describe(clip, rng),
    }


def one_frame(row: Row) -> Row:
    """The same row, its clip frozen at the fifth of its frames: what is asked about motion has lost its answer."""
    first, *others = row["messages"]
    parts = [{**part, "video": frozen(part["video"])} if part["type"] == "video" else part for part in first["content"]]
    return {**row, "messages": [{**first, "content": parts}, *others]}
