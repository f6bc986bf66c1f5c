"""What a row of a pocket world is, whichever world: splits, turns, and how a latent becomes a conversation.

Owns the splits and the shape of a row. Knows no world. A row is plain picklable data::

    {"messages": [{"role": "user", "content": [{"type": "image", "image": <PIL.Image>},
                                               {"type": "text", "text": "what colour is the ring?"}]},
                  {"role": "assistant", "content": [{"type": "text", "text": "red"}]}, ...],
     "types": ["colour", ...],            # one per assistant turn
     "id": "train-0-17",
     "description": "a small red ..."}    # the medium in words: what `described` puts in its place
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias, TypeVar

from midstream.pocket.language import Question
from midstream.pocket.world import Bucket

Row: TypeAlias = dict[str, Any]
Split: TypeAlias = Literal["train", "validation", "test", "held_out"]
SPLITS: Final[dict[Split, tuple[Bucket, bool]]] = {
    "train": ("train", False),
    "validation": ("validation", False),
    "test": ("test", False),
    "held_out": ("test", True),
}
"""Split -> the bucket of its latents, and whether they have (or lack) a held-out combination."""

Latent = TypeVar("Latent")


def drawn(sample: Callable[..., Latent], split: Split, index: int, seed: int = 0) -> Latent:
    """The latent that row ``index`` of a split is about.

    Args:
        sample: a world's ``sample(bucket, index, seed, held_out=...)``.
        split: ``train``, ``validation``, ``test`` (none has a held-out combination) or ``held_out`` (all have one).

    Raises:
        ValueError: an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    bucket, held_out = SPLITS[split]
    return sample(bucket, index, seed, held_out=held_out)


def row_of(
    latent: Any,
    language: Any,
    media: Callable[[Any, random.Random], Sequence[dict[str, Any]]],
    rng: random.Random,
    name: str,
    questions: int,
    describe: bool,
) -> Row:
    """A conversation about a latent: its media, then questions.

    Args:
        language: the world's module with ``ask_many``, ``ask_describe`` and ``describe``.
        media: makes the media parts that stand before the first question.
        rng: decides everything about the row.
        name: the row's id.
        questions: question turns (where there is little to ask about there may be fewer, never none; with 0 there is
            the description alone).
        describe: one more turn, at a random place among the others, whose answer is the full canonical description:
            the densest supervision a connector can get.
    """
    asked = language.ask_many(latent, rng, questions) if questions else []
    if describe:
        asked.insert(rng.randint(0, len(asked)), language.ask_describe(latent, rng))
    return {
        "messages": _turns(media(latent, rng), asked),
        "types": [question.kind for question in asked],
        "id": name,
        "description": language.describe(latent, rng),
    }


def _turns(media: Sequence[dict[str, Any]], asked: Sequence[Question]) -> list[dict[str, Any]]:
    """A turn per question and one per answer, the media parts before the first question."""
    messages: list[dict[str, Any]] = []
    for question in asked:
        messages.append({"role": "user", "content": _text(question.text)})
        messages.append({"role": "assistant", "content": _text(question.answer)})
    messages[0]["content"][:0] = media
    return messages


def _text(words: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": words}]
