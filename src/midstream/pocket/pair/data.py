"""Pairs as training and test rows: a picture and a sound in the first turn, then questions that need one or both.

Owns which pairs, questions, pictures and sounds a row is made of. The row's shape is that of `midstream.pocket.data`;
the first user turn has an image part and an audio part before its text.
"""

from __future__ import annotations

import random

from midstream.pocket.data import SPLITS, Row, Split, turns
from midstream.pocket.pair import language
from midstream.pocket.pair.world import Pair, sample
from midstream.pocket.render import render
from midstream.pocket.sounds import data as sounds


def pair_of(split: Split, index: int, seed: int = 0) -> Pair:
    """The pair that row ``index`` of a split is about.

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
    """Row ``index`` of a split: one picture, one sound and several question turns about both.

    Args:
        split: ``train``, ``validation``, ``test`` (nothing seen or heard wears a held-out colour-shape pair) or
            ``held_out`` (something does).
        index: which row.
        seed: another seed gives other pairs, questions, pictures and sounds of the same split.
        questions_per_scene: question turns.
        include_describe: one more turn whose answer is the canonical description of both.

    Raises:
        ValueError: an unknown split.
    """
    pair = pair_of(split, index, seed)
    rng = random.Random(f"pair/{split}/{seed}/{index}")
    asked = language.ask_many(pair, rng, questions_per_scene)
    if include_describe:
        asked.insert(rng.randint(0, len(asked)), language.ask_describe(pair, rng))
    picture = {"type": "image", "image": render(pair.picture, seed=rng.getrandbits(32))}
    return {
        "messages": turns([picture, sounds.part(pair.sound, rng.getrandbits(32))], asked),
        "types": [question.kind for question in asked],
        "id": f"picture_and_sound-{split}-{seed}-{index}",
        "description": language.describe(pair, rng),
    }
