"""Pocket scenes as training and test rows: the rows of `midstream.pocket.rows`, about pictures.

Owns the image part: ``{"type": "image", "image": <PIL.Image, 64 x 64>}``.
"""

from __future__ import annotations

import random
from typing import Any

from midstream.pocket import language
from midstream.pocket.render import render
from midstream.pocket.rows import Row, Split, drawn, row_of
from midstream.pocket.world import Scene, sample_scene


def scene_of(split: Split, index: int, seed: int = 0) -> Scene:
    """The scene that row ``index`` of a split is about.

    Raises:
        ValueError: an unknown split.
    """
    return drawn(sample_scene, split, index, seed)


def _media(scene: Scene, rng: random.Random) -> list[dict[str, Any]]:
    return [{"type": "image", "image": render(scene, seed=rng.getrandbits(32))}]


def example(
    split: Split, index: int, seed: int = 0, questions_per_scene: int = 4, include_describe: bool = True
) -> Row:
    """Row ``index`` of a split; see `examples`."""
    rng, name = random.Random(f"row/{split}/{seed}/{index}"), f"{split}-{seed}-{index}"
    scene = scene_of(split, index, seed)
    return row_of(scene, language, _media, rng, name, questions_per_scene, include_describe)


def examples(
    split: Split, count: int, seed: int = 0, questions_per_scene: int = 4, include_describe: bool = True
) -> list[Row]:
    """``count`` rows of a split, each one picture and several question turns about it; deterministic.

    Args:
        split: ``train``, ``validation``, ``test`` (none of these shows a held-out colour-shape pair) or ``held_out``
            (test scenes with at least one of them).
        count: rows.
        seed: another seed gives other scenes, questions and pictures of the same split.
        questions_per_scene: question turns per row (a scene with little to ask about may give fewer, never none).
        include_describe: one more turn, at a random place among the others, whose answer is the full canonical
            description: the densest supervision a connector can get.

    Raises:
        ValueError: an unknown split or ``questions_per_scene`` below 1.
    """
    if questions_per_scene < 1:
        raise ValueError(f"questions_per_scene must be at least 1, not {questions_per_scene}")
    return [example(split, index, seed, questions_per_scene, include_describe) for index in range(count)]


def described(row: Row) -> Row:
    """The same row in words: the picture's place is taken by the scene's description, as a system turn.

    The pocket chat template renders a system turn as plain text on its own line, so the prompt is exactly what the
    language model was pretrained on. What it answers here is the ceiling for what a picture can add.
    """
    messages = [{"role": "system", "content": row["description"]}]
    for message in row["messages"]:
        parts = [part for part in message["content"] if part["type"] == "text"]
        messages.append({**message, "content": parts})
    return {**row, "messages": messages}
