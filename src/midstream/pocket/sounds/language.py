"""What can be said and asked about a sound: the language of pictures, with "hear" and "sound" where it says "see".

A sound *is* a scene (`midstream.pocket.world`), rendered for ears: every sentence but these few words is the same.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from midstream.pocket import language
from midstream.pocket.language import DESCRIBE, QUESTION_TYPES, Question, canonical, describe
from midstream.pocket.world import Scene

__all__ = ["DESCRIBE", "QUESTION_TYPES", "WORDS", "Question", "ask_describe", "ask_many", "canonical", "describe"]

WORDS: Final[tuple[str, ...]] = ("sound", "hear")
"""Words beyond those of `midstream.pocket.language`."""


def _heard(question: Question) -> Question:
    return question._replace(text=question.text.replace(" see", " hear").replace(" picture", " sound"))


def ask_describe(scene: Scene, rng: random.Random) -> Question:
    """The question whose answer is the canonical full description."""
    return _heard(language.ask_describe(scene, rng))


def ask_many(scene: Scene, rng: random.Random, count: int, kinds: Sequence[str] | None = None) -> list[Question]:
    """Up to ``count`` different questions about a scene, of the given kinds (None: all kinds mixed)."""
    return [_heard(question) for question in language.ask_many(scene, rng, count, kinds)]
