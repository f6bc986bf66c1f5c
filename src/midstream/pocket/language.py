"""What can be said and asked about a scene: descriptions, captions, questions and their answers.

Owns every sentence of the pocket language and the truth of the answers. Knows nothing of tokens, prompts or pixels.

Every sentence keeps its attribute words behind a space (never first in the text), so that " red" or " top-left" is one
and the same token wherever it stands. A question is only made when the scene answers it without ambiguity.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any, Final, NamedTuple

from midstream.pocket.world import COLOURS, PLACES, SHAPES, SIZES, Scene, Thing

QUESTION_TYPES: Final = ("colour", "shape", "size", "place", "count", "existence", "comparison")
DESCRIBE: Final = "describe"
NUMBERS: Final = ("zero", "one", "two", "three", "four")
PLURALS: Final = {shape: shape + ("es" if shape.endswith("ss") else "s") for shape in SHAPES}
_SHARES: Final = (0.13, 0.13, 0.10, 0.14, 0.12, 0.15, 0.23)
_FIELDS: Final = ("size", "colour", "shape", "place")


class Question(NamedTuple):
    """One question about a scene; ``kind`` is one of QUESTION_TYPES or ``describe``."""

    kind: str
    text: str
    answer: str


def _a(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _noun(thing: Thing) -> str:
    return _a(f"{thing.size} {thing.colour} {thing.shape}")


def canonical(scene: Scene) -> str:
    """The one description that a ``describe`` question is answered with: things in reading order."""
    return ", ".join(f"{_noun(thing)} at {thing.place}" for thing in scene.things) + "."


_GRAMMARS: Final[tuple[Callable[[Thing], str], ...]] = (
    lambda t: f"{_noun(t)} at {t.place}",
    lambda t: f"there is {_noun(t)} at {t.place}",
    lambda t: f"at {t.place} there is {_noun(t)}",
    lambda t: f"the {t.shape} at {t.place} is {t.size} and {t.colour}",
)


def describe(scene: Scene, rng: random.Random, plain: bool = False) -> str:
    """A full description (every attribute of every thing) in a random grammar and order.

    Args:
        scene: what to describe.
        rng: decides grammar and order.
        plain: only the two plainest grammars, never mixed.
    """
    things = rng.sample(scene.things, len(scene.things))
    grammar = rng.choice(_GRAMMARS[:3:2] if plain else _GRAMMARS)
    mixed = not plain and rng.random() < 0.25
    clauses = [(rng.choice(_GRAMMARS) if mixed else grammar)(thing) for thing in things]
    if grammar is _GRAMMARS[0] and not mixed:
        return ", ".join(clauses) + "."
    return ". ".join(clauses) + "."


def caption(scene: Scene, rng: random.Random) -> str:
    """A short sentence that leaves places and sizes out."""
    nouns = [_a(f"{thing.colour} {thing.shape}") for thing in rng.sample(scene.things, len(scene.things))]
    listed = nouns[0] if len(nouns) == 1 else ", ".join(nouns[:-1]) + " and " + nouns[-1]
    return f"a picture of {listed}."


def _matches(scene: Scene, **wanted: str) -> list[Thing]:
    return [thing for thing in scene.things if all(getattr(thing, field) == word for field, word in wanted.items())]


def _reference(fields: Iterable[str], thing: Thing) -> str:
    words = {field: getattr(thing, field) for field in fields}
    head = " ".join(words[field] for field in ("size", "colour") if field in words)
    noun = words.get("shape", "object")
    tail = f" at {words['place']}" if "place" in words else ""
    return f"the {head + ' ' if head else ''}{noun}{tail}"


def refer(scene: Scene, thing: Thing, rng: random.Random, hide: str) -> str | None:
    """A phrase that names exactly this thing without using the attribute ``hide``; None where there is none."""
    choices = []
    for size in (1, 2, 3):
        for fields in combinations(_FIELDS, size):
            if hide in fields or ("place" in fields and size == 3):
                continue
            if len(_matches(scene, **{field: getattr(thing, field) for field in fields})) == 1:
                choices.append(fields)
    if not choices:
        return None
    # A thing named by its place can always be asked about; give the harder references (by attributes) more room.
    weights = [
        (0.6 if fields == ("place",) else 0.25 if "place" in fields else 1.0) / len(fields) for fields in choices
    ]
    return _reference(rng.choices(choices, weights=weights)[0], thing)


_ASK: Final = {
    "colour": ("what colour is {}?", "which colour is {}?", "what is the colour of {}?", "what color is {}?"),
    "shape": ("what shape is {}?", "which shape is {}?", "what is the shape of {}?"),
    "size": ("what size is {}?", "how big is {}?", "what is the size of {}?"),
    "place": ("where is {}?", "what is the place of {}?", "in which place is {}?"),
}


def _attribute(field: str, scene: Scene, rng: random.Random) -> Question | None:
    thing = rng.choice(scene.things)
    name = refer(scene, thing, rng, hide=field)
    if name is None:
        return None
    return Question(field, rng.choice(_ASK[field]).format(name), getattr(thing, field))


def _count(scene: Scene, rng: random.Random) -> Question:
    field = rng.choice(("all", "colour", "shape", "size"))
    if field == "all":
        return Question("count", "how many objects are there?", NUMBERS[len(scene.things)])
    known = {"colour": COLOURS, "shape": SHAPES, "size": SIZES}[field]
    present = rng.random() < 0.8
    word = getattr(rng.choice(scene.things), field) if present else rng.choice(known)
    noun = PLURALS[word] if field == "shape" else f"{word} objects"
    phrase = rng.choice(("how many {} are there?", "how many {} can you see?"))
    return Question("count", phrase.format(noun), NUMBERS[len(_matches(scene, **{field: word}))])


def _absent_pair(scene: Scene, fields: tuple[str, str], rng: random.Random) -> tuple[str, str] | None:
    """Two words, each worn by some thing of the scene but never by the same one (a test of binding)."""
    worn = {(getattr(t, fields[0]), getattr(t, fields[1])) for t in scene.things}
    pairs = sorted({(a, b) for a, _ in worn for _, b in worn} - worn)
    return rng.choice(pairs) if pairs else None


def _existence(scene: Scene, rng: random.Random) -> Question | None:
    yes = rng.random() < 0.5
    kind = rng.choice(
        ("place", "colour shape", "colour shape", "size shape", "size colour", "shape place", "colour place")
    )
    if kind == "place":
        taken = {thing.place for thing in scene.things}
        place = rng.choice([p for p in PLACES if (p in taken) == yes])
        phrase = rng.choice(("is there an object at {}?", "is there anything at {}?"))
        return Question("existence", phrase.format(place), "yes" if yes else "no")
    first, second = kind.split()
    thing = rng.choice(scene.things)
    pair: tuple[str, str] | None = (getattr(thing, first), getattr(thing, second))
    if not yes:
        pair = _absent_pair(scene, (first, second), rng)
        if pair is None or rng.random() < 0.2:
            known = {"colour": COLOURS, "shape": SHAPES, "size": SIZES, "place": PLACES}
            pair = (rng.choice(known[first]), rng.choice(known[second]))
        if _matches(scene, **{first: pair[0], second: pair[1]}):
            return None
    assert pair is not None
    words = dict(zip((first, second), pair, strict=True))
    head = " ".join(words[field] for field in ("size", "colour", "shape") if field in words)
    noun = head if "shape" in words else head + " object"
    tail = f" at {words['place']}" if "place" in words else ""
    phrase = rng.choice(("is there {}?", "can you see {}?"))
    return Question("existence", phrase.format(_a(noun) + tail), "yes" if yes else "no")


_RELATIONS: Final[dict[str, tuple[tuple[str, ...], Callable[[Thing, Thing], int]]]] = {
    # the third entry is signed: > 0 yes, < 0 no (the same pair the other way round), 0 not asked
    "larger": (
        ("is {} larger than {}?", "is {} bigger than {}?"),
        lambda a, b: (a.size == "large") - (b.size == "large"),
    ),
    "smaller": (("is {} smaller than {}?",), lambda a, b: (b.size == "large") - (a.size == "large")),
    "left": (("is {} left of {}?", "is {} to the left of {}?"), lambda a, b: b.column - a.column),
    "right": (("is {} right of {}?", "is {} to the right of {}?"), lambda a, b: a.column - b.column),
    "above": (("is {} above {}?",), lambda a, b: b.row - a.row),
    "below": (("is {} below {}?",), lambda a, b: a.row - b.row),
}
_HIDE: Final = {
    "larger": "size",
    "smaller": "size",
    "left": "place",
    "right": "place",
    "above": "place",
    "below": "place",
}


def _comparison(scene: Scene, rng: random.Random) -> Question | None:
    if len(scene.things) < 2:
        return None
    if rng.random() < 0.3:
        return _same(scene, rng)
    relation = rng.choice(tuple(_RELATIONS))
    first, second = rng.sample(scene.things, 2)
    phrases, sign = _RELATIONS[relation]
    names = [refer(scene, thing, rng, hide=_HIDE[relation]) for thing in (first, second)]
    verdict = sign(first, second)
    if verdict == 0 or None in names:
        return None
    return Question("comparison", rng.choice(phrases).format(*names), "yes" if verdict > 0 else "no")


def _same(scene: Scene, rng: random.Random) -> Question | None:
    field = rng.choice(("colour", "shape", "size"))
    yes = rng.random() < {"colour": 0.5, "shape": 0.47, "size": 0.42}[field]  # evens out yes and no (measured)
    pairs = [
        pair for pair in combinations(scene.things, 2) if (getattr(pair[0], field) == getattr(pair[1], field)) == yes
    ]
    if not pairs:
        return None
    pair = rng.choice(pairs)
    names = [refer(scene, thing, rng, hide=field) for thing in rng.sample(pair, 2)]
    if None in names:
        return None
    phrase = rng.choice(("are {} and {} the same {}?", "is {} the same {} as {}?"))
    order = (names[0], names[1], field) if phrase.startswith("are") else (names[0], field, names[1])
    return Question("comparison", phrase.format(*order), "yes" if yes else "no")


def ask_describe(scene: Scene, rng: random.Random) -> Question:
    """The question whose answer is the canonical full description."""
    text = rng.choice(("describe the picture.", "what is in the picture?", "what do you see?"))
    return Question(DESCRIBE, text, canonical(scene))


def ask_thing(scene: Scene, rng: random.Random) -> Question:
    """What stands at a place, answered in full: not a test question, but the plainest reading exercise."""
    thing = rng.choice(scene.things)
    return Question(DESCRIBE, f"what is at {thing.place}?", f"{_noun(thing)}.")


def ask(scene: Scene, rng: random.Random, kind: str | None = None) -> Question | None:
    """A question of a kind (random where None); None where the scene does not allow the one drawn."""
    kind = kind or rng.choices(QUESTION_TYPES, weights=_SHARES)[0]
    if kind in _ASK:
        return _attribute(kind, scene, rng)
    makers: dict[str, Callable[[Scene, random.Random], Question | None]] = {
        "count": _count,
        "existence": _existence,
        "comparison": _comparison,
        DESCRIBE: ask_describe,
    }
    if kind not in makers:
        raise ValueError(f"unknown kind of question {kind!r}; known: {', '.join((*QUESTION_TYPES, DESCRIBE))}")
    return makers[kind](scene, rng)


def several(
    ask: Callable[[Any, random.Random, str | None], Question | None],
    latent: Any,
    rng: random.Random,
    count: int,
    kinds: Sequence[str] | None,
) -> list[Question]:
    """Up to ``count`` different questions, of the given kinds (None: all kinds mixed).

    Args:
        ask: a world's ``ask(latent, rng, kind)``; None where the latent does not allow the kind that was drawn.
    """
    found: dict[str, Question] = {}
    for _ in range(20 * count):
        if len(found) == count:
            break
        question = ask(latent, rng, rng.choice(kinds) if kinds else None)
        if question is not None:
            found.setdefault(question.text, question)
    return list(found.values())


def ask_many(scene: Scene, rng: random.Random, count: int, kinds: Sequence[str] | None = None) -> list[Question]:
    """Up to ``count`` different questions about a scene, of the given kinds (None: all kinds mixed)."""
    return several(ask, scene, rng, count, kinds)
