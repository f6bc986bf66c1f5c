"""What the pocket language model reads: rows of tokens with a loss weight per token.

Owns the pretraining documents. A document has exactly the prompt's form::

    {description}\\n                     nothing here can be known beforehand: almost no loss
    {the same scene in other words}\\n   (sometimes) every attribute is determined by the description: full loss
    Question: ...\\nAnswer: ...\\n       several turns; the answers carry the loss
    <|endoftext|>

The restatements and the many questions per scene are what makes a small model bind attributes to places. Text only:
nothing here has seen a picture. Batch ``i`` is a pure function of ``(seed, i)``, so a resumed run reads on exactly
where it stopped.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from midstream.pocket import language
from midstream.pocket.tokenizer import PATTERN
from midstream.pocket.world import COLOURS, PLACES, SHAPES, SIZES, Scene, sample_scene

PROSE_SHARE: Final = 0.11
_WORDS: Final = re.compile(PATTERN)
_ATTRIBUTES: Final = frozenset((*COLOURS, *SHAPES, *SIZES, *PLACES))


class Chunk(NamedTuple):
    """A piece of a document: loss weight of its attribute words, and of everything else in it."""

    text: str
    attribute: float
    plain: float


class Stage(NamedTuple):
    """How hard the documents are from batch ``first`` on."""

    first: int
    most: int  # things in a scene
    plain: bool  # two grammars instead of six
    restated: float  # chance of a restatement
    twice: float  # chance that a restated scene is restated once more
    kinds: tuple[str, ...] | None  # of questions; None: all


# Binding is learnt sooner from few things, said twice over in two grammars, and without the questions that are coin
# flips until one can bind; everything else is then added, and what takes two look-ups and a rule gets the last word.
_LOOK_UP: Final = ("colour", "shape", "size", "place")
_HARD: Final = (*_LOOK_UP, "existence", *("count",) * 3, *("comparison",) * 8)
STAGES: Final = (
    Stage(0, 3, True, 1.0, 0.5, _LOOK_UP),
    Stage(400, 4, True, 0.8, 0.3, _LOOK_UP),
    Stage(600, 4, False, 0.6, 0.2, None),
    Stage(2000, 4, False, 0.2, 0.0, _HARD),
)


def turn(question: language.Question) -> list[Chunk]:
    """A question and its answer; the answer is what is learnt."""
    answer = Chunk(f" {question.answer}", 1.0, 0.3 if question.kind == language.DESCRIBE else 1.0)
    return [Chunk(f"Question: {question.text}\nAnswer:", 0.04, 0.04), answer, Chunk("\n", 0.3, 0.3)]


def opening(scene: Scene, rng: random.Random, stage: Stage = STAGES[-1]) -> list[Chunk]:
    """Description, and sometimes restatements or a caption."""
    chunks = [Chunk(language.describe(scene, rng, stage.plain) + "\n", 0.05, 0.05)]
    if rng.random() < stage.restated:
        for _ in range(1 + (rng.random() < stage.twice)):
            chunks.append(Chunk(language.describe(scene, rng, stage.plain) + "\n", 1.0, 0.1))
    elif rng.random() < 0.2:
        chunks.append(Chunk(language.caption(scene, rng) + "\n", 1.0, 0.1))
    return chunks


class Corpus:
    """Makes training rows.

    Args:
        tokenizer: the pocket tokenizer (or any fast tokenizer that cuts words as ``PATTERN`` does).
        prose: ordinary paragraphs (`midstream.pocket.prose`).
        row_tokens: tokens per row, one more than the model's input length.
        seed: another seed is another corpus.
        attributes: words that carry content, beyond those of scenes.
    """

    def __init__(
        self,
        tokenizer: Any,
        prose: Sequence[str],
        row_tokens: int,
        seed: int = 0,
        attributes: frozenset[str] = frozenset(),
    ) -> None:
        self._attributes = _ATTRIBUTES | attributes
        self._tokenizer = tokenizer
        self._prose = prose
        self._row_tokens = row_tokens
        self._seed = seed
        self._cache: dict[str, list[int]] = {}

    def encode(self, chunk: Chunk) -> tuple[list[int], list[float]]:
        """Token ids and weights of a chunk; looked up word by word, which is fast and equals encoding the whole."""
        ids: list[int] = []
        weights: list[float] = []
        for word in _WORDS.findall(chunk.text):
            found = self._cache.get(word)
            if found is None:
                found = self._cache[word] = self._tokenizer.encode(word, add_special_tokens=False)
            ids += found
            weights += [chunk.attribute if word.strip() in self._attributes else chunk.plain] * len(found)
        return ids, weights

    def _fill(self, row: tuple[list[int], list[float]], chunks: Sequence[Chunk]) -> bool:
        """Append the chunks if they all fit; say whether they did."""
        coded = [self.encode(chunk) for chunk in chunks]
        if len(row[0]) + sum(len(ids) for ids, _ in coded) > self._row_tokens:
            return False
        for ids, weights in coded:
            row[0].extend(ids)
            row[1].extend(weights)
        return True

    def _scene_row(self, rng: random.Random, stage: Stage) -> tuple[list[int], list[float]]:
        row: tuple[list[int], list[float]] = ([], [])
        while len(row[0]) < self._row_tokens - 75:
            scene = sample_scene("train", rng.getrandbits(40), self._seed, most=stage.most)
            if not self._fill(row, opening(scene, rng, stage)):
                break
            questions = language.ask_many(scene, rng, rng.randint(5, 14), stage.kinds)
            if rng.random() < 0.35:
                questions.insert(rng.randint(0, len(questions)), language.ask_describe(scene, rng))
            if rng.random() < (1.0 if stage.kinds == _LOOK_UP else 0.3):
                questions.insert(rng.randint(0, len(questions)), language.ask_thing(scene, rng))
            for question in questions:
                self._fill(row, turn(question))
            if len(row[0]) >= self._row_tokens - 75:  # no room for another scene worth reading: ask more about this one
                for question in language.ask_many(scene, rng, 5, stage.kinds):
                    self._fill(row, turn(question))
            self._end(row)
        return row

    def _end(self, row: tuple[list[int], list[float]]) -> None:
        """End of a document, where there is room for its mark."""
        if len(row[0]) < self._row_tokens:
            row[0].append(self._tokenizer.eos_token_id)
            row[1].append(0.05)

    def _prose_row(self, rng: random.Random) -> tuple[list[int], list[float]]:
        row: tuple[list[int], list[float]] = ([], [])
        while len(row[0]) < self._row_tokens:
            ids, weights = self.encode(Chunk(rng.choice(self._prose) + "\n", 0.1, 0.1))
            row[0].extend([*ids, self._tokenizer.eos_token_id])
            row[1].extend([*weights, 0.05])
        return row[0][: self._row_tokens], row[1][: self._row_tokens]

    def _row(self, rng: random.Random, index: int) -> tuple[list[int], list[float]]:
        if rng.random() < PROSE_SHARE:
            return self._prose_row(rng)
        return self._scene_row(rng, [stage for stage in STAGES if stage.first <= index][-1])

    def batch(self, index: int, rows: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Batch ``index``: ids and weights, both ``[rows, row_tokens]``; padding has weight 0."""
        rng = random.Random(f"{self._seed}/{index}")
        ids_BT = np.full((rows, self._row_tokens), self._tokenizer.pad_token_id, dtype=np.int64)
        weights_BT = np.zeros((rows, self._row_tokens), dtype=np.float32)
        for b in range(rows):
            ids, weights = self._row(rng, index)
            ids_BT[b, : len(ids)] = ids
            weights_BT[b, : len(ids)] = weights
        return ids_BT, weights_BT


def tokenizer_texts(prose: Sequence[str], seed: int = 0, scenes: int = 6000) -> Iterator[str]:
    """The sample of the corpus that the tokenizer is trained on."""
    for index in range(scenes):
        rng = random.Random(f"tokenizer/{seed}/{index}")
        scene = sample_scene("train", index, seed)
        chunks = opening(scene, rng)
        for question in [*language.ask_many(scene, rng, 5), language.ask_describe(scene, rng)]:
            chunks += turn(question)
        yield "".join(chunk.text for chunk in chunks)
    yield from prose
