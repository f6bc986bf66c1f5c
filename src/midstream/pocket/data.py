"""Pocket scenes as training and test rows: conversations about pictures in the messages format (TRL / OpenAI style).

Owns which scenes, questions and pictures a row is made of. Knows nothing of models. A row is plain picklable data::

    {"messages": [{"role": "user", "content": [{"type": "image", "image": <PIL.Image>},
                                               {"type": "text", "text": "what colour is the ring?"}]},
                  {"role": "assistant", "content": [{"type": "text", "text": "red"}]}, ...],
     "types": ["colour", ...],            # one per assistant turn
     "id": "train-0-17",
     "description": "a small red ..."}    # what `described` puts in the picture's place
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

from midstream.pocket import language
from midstream.pocket.render import render
from midstream.pocket.world import Bucket, Scene, sample_scene

Row: TypeAlias = dict[str, Any]
Split: TypeAlias = Literal["train", "validation", "test", "held_out"]
SPLITS: Final[dict[Split, tuple[Bucket, bool]]] = {
    "train": ("train", False),
    "validation": ("validation", False),
    "test": ("test", False),
    "held_out": ("test", True),
}


def _text(words: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": words}]


def turns(media: Sequence[dict[str, Any]], asked: Sequence[language.Question]) -> list[dict[str, Any]]:
    """The messages of a row: a turn per question and one per answer, the media parts before the first question."""
    messages: list[dict[str, Any]] = []
    for question in asked:
        messages.append({"role": "user", "content": _text(question.text)})
        messages.append({"role": "assistant", "content": _text(question.answer)})
    messages[0]["content"][:0] = media
    return messages


def scene_of(split: Split, index: int, seed: int = 0) -> Scene:
    """The scene that row ``index`` of a split is about.

    Raises:
        ValueError: an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    bucket, held_out = SPLITS[split]
    return sample_scene(bucket, index, seed, held_out=held_out)


def example(
    split: Split, index: int, seed: int = 0, questions_per_scene: int = 4, include_describe: bool = True
) -> Row:
    """Row ``index`` of a split; see `examples`."""
    scene = scene_of(split, index, seed)
    rng = random.Random(f"row/{split}/{seed}/{index}")
    asked = language.ask_many(scene, rng, questions_per_scene)
    if include_describe:
        asked.insert(rng.randint(0, len(asked)), language.ask_describe(scene, rng))
    picture = render(scene, seed=rng.getrandbits(32))
    return {
        "messages": turns([{"type": "image", "image": picture}], asked),
        "types": [question.kind for question in asked],
        "id": f"{split}-{seed}-{index}",
        "description": language.describe(scene, rng),
    }


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
