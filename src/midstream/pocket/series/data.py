"""Pocket recordings as training and test rows: conversations about series in the messages format.

Owns which recordings, questions and samples a row is made of. Rows are as in `midstream.pocket.data`, with a part
``{"type": "series", "series": float32 (96, 3)}`` in front of the first question.
"""

from __future__ import annotations

import random
from typing import Any, Final

from midstream.pocket.data import Row, Split
from midstream.pocket.series import language
from midstream.pocket.series.render import render
from midstream.pocket.series.world import Recording, sample
from midstream.pocket.world import Bucket

_SPLITS: Final[dict[str, tuple[Bucket, bool]]] = {
    "train": ("train", False),
    "validation": ("validation", False),
    "test": ("test", False),
    "held_out": ("test", True),
}


def recording_of(split: Split, index: int, seed: int = 0) -> Recording:
    """The recording that row ``index`` of a split is about.

    Raises:
        ValueError: an unknown split.
    """
    if split not in _SPLITS:
        raise ValueError(f"unknown split {split!r}; known: {', '.join(_SPLITS)}")
    bucket, held_out = _SPLITS[split]
    return sample(bucket, index, seed, held_out=held_out)


def example(
    split: Split, index: int, seed: int = 0, questions_per_scene: int = 4, include_describe: bool = True
) -> Row:
    """Row ``index`` of a split; a pure function of its arguments.

    Args:
        split: ``train``, ``validation``, ``test`` (none shows a held-out triple) or ``held_out``.
        index: which row.
        seed: another seed gives other recordings, questions and noise.
        questions_per_scene: question turns (a recording with little to ask about may give fewer, never none).
        include_describe: one more turn, whose answer is the full canonical description.

    Raises:
        ValueError: an unknown split.
    """
    recording = recording_of(split, index, seed)
    rng = random.Random(f"series row/{split}/{seed}/{index}")
    asked = language.ask_many(recording, rng, questions_per_scene)
    if include_describe:
        asked.insert(rng.randint(0, len(asked)), language.ask_describe(recording, rng))
    messages: list[dict[str, Any]] = []
    for question in asked:
        messages.append({"role": "user", "content": [{"type": "text", "text": question.text}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": question.answer}]})
    series = render(recording, seed=rng.getrandbits(32))
    messages[0]["content"].insert(0, {"type": "series", "series": series})
    return {
        "messages": messages,
        "types": [question.kind for question in asked],
        "id": f"series-{split}-{seed}-{index}",
        "description": language.describe(recording, rng),
    }
