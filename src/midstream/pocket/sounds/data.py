"""Sounds as training and test rows: the rows of `midstream.pocket.data`, with an audio part where the picture would be.

Owns the audio part. A row is plain picklable data; the waveform is float32 ``[samples]``::

    {"messages": [{"role": "user", "content": [{"type": "audio", "audio": {"array": <wave>, "sampling_rate": 16000}},
                                               {"type": "text", "text": "what colour is the ring?"}]},
                  {"role": "assistant", "content": [{"type": "text", "text": "red"}]}, ...],
     "types": ["colour", ...], "id": "sounds-train-0-17", "description": "a small red ..."}
"""

from __future__ import annotations

import random
from typing import Any

from midstream.pocket.data import Row, Split, scene_of, turns
from midstream.pocket.sounds import language
from midstream.pocket.sounds.render import RATE, render
from midstream.pocket.world import Scene


def part(scene: Scene, seed: int) -> dict[str, Any]:
    """The audio part of a message: a sound of the scene, with its sampling rate."""
    return {"type": "audio", "audio": {"array": render(scene, seed), "sampling_rate": RATE}}


def example(
    split: Split, index: int, seed: int = 0, questions_per_scene: int = 4, include_describe: bool = True
) -> Row:
    """Row ``index`` of a split; the same scene as the picture of `midstream.pocket.data.example`, other questions.

    Args:
        split: ``train``, ``validation``, ``test`` (none with a held-out colour-shape pair) or ``held_out``.
        index: which row.
        seed: another seed gives other scenes, questions and sounds of the same split.
        questions_per_scene: question turns (a scene with little to ask about may give fewer, never none).
        include_describe: one more turn whose answer is the canonical description.

    Raises:
        ValueError: an unknown split.
    """
    scene = scene_of(split, index, seed)
    rng = random.Random(f"sounds/{split}/{seed}/{index}")
    asked = language.ask_many(scene, rng, questions_per_scene)
    if include_describe:
        asked.insert(rng.randint(0, len(asked)), language.ask_describe(scene, rng))
    return {
        "messages": turns([part(scene, rng.getrandbits(32))], asked),
        "types": [question.kind for question in asked],
        "id": f"sounds-{split}-{seed}-{index}",
        "description": language.describe(scene, rng),
    }
