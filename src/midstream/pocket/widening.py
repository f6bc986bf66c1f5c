"""The pocket language model's second course: it reads of sounds, motion, molecules and series, in words only.

Owns the documents of all worlds in one corpus, and how a tokenizer and a model take up new words without forgetting
the old ones: every known token keeps its number and its embedding, and a new word begins as the mean of its pieces.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, NamedTuple

import torch
from tokenizers import Tokenizer

from midstream.pocket import language
from midstream.pocket.corpus import Chunk, Corpus, turn

NUMBER_WORDS: Final = ("five", "six", "seven", "eight", "nine")
LABELS: Final = (*language.NUMBERS, *NUMBER_WORDS)
WORDS: Final = (*NUMBER_WORDS, "digit", "kind", "third", "benign", "malignant")
"""Words of real data sets (handwritten digits, wines, tumours), which no world of ours uses."""

RESTATED: Final = (0.8, 0.4)
"""Chance of a restatement at the beginning and at the end of the course."""


class World(NamedTuple):
    """A world's text: its package under `midstream.pocket`, its share of the rows, and questions in a document."""

    package: str
    share: float
    questions: tuple[int, int]


WORLDS: Final = (
    World("motion", 0.22, (4, 9)),
    World("molecules", 0.17, (5, 10)),
    World("series", 0.18, (4, 9)),
    World("pair", 0.12, (5, 10)),
)


def new_words() -> list[str]:
    """The words of all worlds, each once."""
    found = dict.fromkeys(WORDS)
    for world in WORLDS:
        found |= dict.fromkeys(import_module(f"midstream.pocket.{world.package}.language").WORDS)
    return list(found)


def widened_tokenizer(tokenizer: Any, words: Sequence[str]) -> tuple[Any, dict[int, list[int]]]:
    """A tokenizer in which each word, behind a space, is one token; all others keep their numbers.

    A byte-level BPE learns a word by merging the pieces it has for it, from the left; these merges come last, so that
    what was cut before is cut as before.

    Returns:
        the tokenizer, and for each new token the old ones that it is made of.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary, merges = content["model"]["vocab"], content["model"]["merges"]
    names = {number: token for token, number in vocabulary.items()}
    pieces: dict[int, list[int]] = {}
    for word in words:
        current = Tokenizer.from_str(json.dumps(content)).encode(f" {word}", add_special_tokens=False).ids
        left = current[0]
        for right in current[1:]:
            joined = names[left] + names[right]
            merges.append([names[left], names[right]])
            if joined not in vocabulary:
                number = len(vocabulary)
                vocabulary[joined], names[number] = number, joined
                pieces[number] = [old for part in (left, right) for old in pieces.get(part, [part])]
            left = vocabulary[joined]
    made = type(tokenizer)(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)),
        bos_token=tokenizer.bos_token,
        eos_token=tokenizer.eos_token,
        pad_token=tokenizer.pad_token,
        model_max_length=tokenizer.model_max_length,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    made.chat_template = tokenizer.chat_template
    return made, pieces


@torch.no_grad()
def widened_model(model: Any, pieces: dict[int, list[int]]) -> Any:
    """The model with embeddings for the new tokens: each the mean of those of its pieces."""
    model.resize_token_embeddings(model.config.vocab_size + len(pieces), mean_resizing=False)
    table = model.get_input_embeddings().weight
    for number, parts in pieces.items():
        table[number] = table[parts].mean(0)
    return model


class WideCorpus(Corpus):
    """`Corpus` with documents of every world. Row kinds are drawn by share; what is left over is pictures and prose.

    Args:
        steps: after how many batches the course is expected to end; restatements become fewer until then.
    """

    def __init__(
        self, tokenizer: Any, prose: Sequence[str], row_tokens: int, seed: int = 0, steps: int = 4000, only: str = ""
    ) -> None:
        super().__init__(tokenizer, prose, row_tokens, seed, _attributes())
        self._steps = steps
        self._worlds = [world for world in WORLDS if only in ("", world.package)]

    def _row(self, rng: random.Random, index: int) -> tuple[list[int], list[float]]:
        drawn = rng.random()
        for world in self._worlds:
            drawn -= world.share
            if drawn < 0:
                return self._world_row(world, rng, min(1.0, index / self._steps))
        return self._label_row(rng) if rng.random() < 0.05 else super()._row(rng, max(index, 2000))

    def _world_row(self, world: World, rng: random.Random, progress: float) -> tuple[list[int], list[float]]:
        package = f"midstream.pocket.{world.package}"
        sample, words = import_module(f"{package}.world").sample, import_module(f"{package}.language")
        row: tuple[list[int], list[float]] = ([], [])
        restated = RESTATED[0] + (RESTATED[1] - RESTATED[0]) * progress
        while len(row[0]) < self._row_tokens - 90:
            latent = sample("train", rng.getrandbits(40), self._seed)
            chunks = [Chunk(words.describe(latent, rng) + "\n", 0.05, 0.05)]
            if rng.random() < restated:
                chunks.append(Chunk(words.describe(latent, rng) + "\n", 1.0, 0.1))
            if not self._fill(row, chunks):
                break
            questions = words.ask_many(latent, rng, rng.randint(*world.questions))
            if rng.random() < 0.35:
                questions.insert(rng.randint(0, len(questions)), words.ask_describe(latent, rng))
            for question in questions:
                self._fill(row, turn(question))
            self._end(row)
        return row

    def _label_row(self, rng: random.Random) -> tuple[list[int], list[float]]:
        """Names of kinds, so that their words are known: nothing more is asked of them in text."""
        row: tuple[list[int], list[float]] = ([], [])
        while True:
            label, ask = rng.choice(
                [(rng.choice(LABELS), "which digit is it?")] * 2
                + [(rng.choice(("first", "second", "third")), "which kind is it?")]
                + [(rng.choice(("benign", "malignant")), "is it benign or malignant?")]
            )
            thing = " digit" if "digit" in ask else " kind" if "which kind" in ask else ""
            told = f"this is the{thing} {label}.\n" if thing and rng.random() < 0.5 else f"it is {label}.\n"
            if not self._fill(row, [Chunk(told, 0.05, 0.05), *turn(language.Question("label", ask, label))]):
                return row
            self._end(row)


def _attributes() -> frozenset[str]:
    """Words that carry a document's content, of which a restatement is learnt at full weight."""
    return frozenset((*new_words(), *language.NUMBERS, "red", "green", "blue", "no", "zero"))
