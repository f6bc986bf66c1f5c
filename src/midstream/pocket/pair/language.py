"""What can be said and asked about a picture and a sound together.

Owns the sentences of the `picture_and_sound` world and the truth of the answers. A thing is named as in
`midstream.pocket.language`, and then by the sense that takes it in: "the red object in the picture", "the ring you
hear". Attribute words stay behind a space, as everywhere in the pocket language.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import product
from typing import Final

from midstream.pocket.language import DESCRIBE, NUMBERS, PLURALS, Question, refer, several
from midstream.pocket.pair.world import SENSES, Pair, Sense
from midstream.pocket.world import COLOURS, PLACES, SHAPES, SIZES, Scene, Thing

WORDS: Final[tuple[str, ...]] = ("sound", "hear", "both", "or")
"""Words beyond those of `midstream.pocket.language`."""
QUESTION_TYPES: Final = ("colour", "shape", "size", "place", "count", "existence", "comparison", "sense")
_SHARES: Final = (0.10, 0.10, 0.07, 0.10, 0.12, 0.16, 0.23, 0.12)
_SEES: Final[dict[Sense, str]] = {"picture": "see", "sound": "hear"}
_ANY: Final = {"colour": COLOURS, "shape": SHAPES, "size": SIZES, "place": PLACES}
_OTHER: Final[dict[Sense, Sense]] = {"picture": "sound", "sound": "picture"}


def _a(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _noun(thing: Thing) -> str:
    return _a(f"{thing.size} {thing.colour} {thing.shape}")


def _listed(scene: Scene | Sequence[Thing]) -> str:
    things = scene.things if isinstance(scene, Scene) else scene
    return ", ".join(f"{_noun(thing)} at {thing.place}" for thing in things)


def canonical(pair: Pair) -> str:
    """The one description that a ``describe`` question is answered with: seen before heard, each in reading order."""
    return f"you see {_listed(pair.picture)}, you hear {_listed(pair.sound)}."


_GRAMMARS: Final[tuple[Callable[[Thing, Sense], str], ...]] = (
    lambda t, sense: f"you {_SEES[sense]} {_noun(t)} at {t.place}",
    lambda t, sense: f"in the {sense} there is {_noun(t)} at {t.place}",
    lambda t, sense: f"at {t.place} in the {sense} there is {_noun(t)}",
    lambda t, sense: f"at {t.place} you {_SEES[sense]} {_noun(t)}",
    lambda t, sense: f"the {t.shape} at {t.place} in the {sense} is {t.size} and {t.colour}",
    lambda t, sense: f"the {t.shape} you {_SEES[sense]} at {t.place} is {t.size} and {t.colour}",
)
_OPENINGS: Final[tuple[Callable[[Sense], str], ...]] = (
    lambda sense: f"in the {sense}: ",
    lambda sense: f"you {_SEES[sense]} ",
)


def describe(pair: Pair, rng: random.Random, plain: bool = False) -> str:
    """A full description (every attribute of every thing, and its sense) in a random grammar and order.

    Args:
        pair: what to describe.
        rng: decides grammar and order.
        plain: only two plain grammars: a list per sense, or a clause per thing.
    """
    if rng.random() < (0.5 if plain else 0.35):
        opening = rng.choice(_OPENINGS)
        parts = [opening(s) + _listed(rng.sample(pair.of(s).things, len(pair.of(s).things))) for s in _order(rng)]
        return ". ".join(parts) + "."
    things = [(thing, sense) for sense in _order(rng) for thing in pair.of(sense).things]
    if not plain:
        rng.shuffle(things)
    grammar = rng.choice(_GRAMMARS[1:2] if plain else _GRAMMARS)
    mixed = not plain and rng.random() < 0.25
    return ". ".join((rng.choice(_GRAMMARS) if mixed else grammar)(*thing) for thing in things) + "."


def _order(rng: random.Random) -> list[Sense]:
    return rng.sample(SENSES, len(SENSES))


def _name(pair: Pair, sense: Sense, thing: Thing, rng: random.Random, hide: str) -> str | None:
    """A phrase for exactly this thing without the attribute ``hide``; None where there is none."""
    alone = len(pair.of(sense).things) == 1
    phrase = "the object" if alone and rng.random() < 0.6 else refer(pair.of(sense), thing, rng, hide)
    where = rng.choice((f"in the {sense}", f"you {_SEES[sense]}"))
    return None if phrase is None else f"{phrase} {where}"


_ASK: Final = {
    "colour": ("what colour is {}?", "which colour is {}?", "what is the colour of {}?"),
    "shape": ("what shape is {}?", "which shape is {}?", "what is the shape of {}?"),
    "size": ("what size is {}?", "how big is {}?", "what is the size of {}?"),
    "place": ("where is {}?", "what is the place of {}?", "in which place is {}?"),
}


def _attribute(field: str, pair: Pair, rng: random.Random) -> Question | None:
    sense = rng.choice(SENSES)
    thing = rng.choice(pair.of(sense).things)
    name = _name(pair, sense, thing, rng, hide=field)
    return None if name is None else Question(field, rng.choice(_ASK[field]).format(name), getattr(thing, field))


def _count(pair: Pair, rng: random.Random) -> Question:
    every = pair.picture.things + pair.sound.things
    if rng.random() < 0.3:
        sense = rng.choice(SENSES)
        text = rng.choice((f"how many objects do you {_SEES[sense]}?", f"how many objects are in the {sense}?"))
        return Question("count", text, NUMBERS[len(pair.of(sense).things)])
    field = rng.choice(("all", "colour", "shape", "size"))
    if field == "all":
        return Question("count", "how many objects are there in both?", NUMBERS[len(every)])
    word = getattr(rng.choice(every), field) if rng.random() < 0.85 else rng.choice(_ANY[field])
    noun = PLURALS[word] if field == "shape" else f"{word} objects"
    return Question(
        "count",
        f"how many {noun} do you see or hear?",
        NUMBERS[sum(getattr(thing, field) == word for thing in every)],
    )


def _thing_of(field: str, word: str) -> str:
    """ "a ring", "a red object", "an object at top"."""
    if field == "place":
        return f"an object at {word}"
    return _a(word if field == "shape" else f"{word} object")


def _senses_of(pair: Pair, field: str, word: str) -> tuple[Sense, ...]:
    return tuple(s for s in SENSES if any(getattr(thing, field) == word for thing in pair.of(s).things))


def _drawn(pair: Pair, wanted: Callable[[tuple[Sense, ...]], bool], rng: random.Random) -> tuple[str, str] | None:
    """A field and a word of it that the wanted senses take in; None where there is none."""
    field = rng.choice(("colour", "shape", "shape", "place", "colour"))
    words = [word for word in _ANY[field] if wanted(_senses_of(pair, field, word))]
    return (field, rng.choice(words)) if words else None


def _existence(pair: Pair, rng: random.Random) -> Question | None:
    yes = rng.random() < 0.5
    if rng.random() < 0.5:
        found = _drawn(pair, lambda senses: len(senses) == (2 if yes else 1), rng)
        if found is None:
            return None
        text = rng.choice(("is there {} in both?", "do you both see and hear {}?"))
        return Question("existence", text.format(_thing_of(*found)), "yes" if yes else "no")
    sense = rng.choice(SENSES)
    absent = () if rng.random() < 0.2 else (_OTHER[sense],)  # mostly what the other sense takes in
    found = _drawn(pair, lambda senses: sense in senses if yes else senses == absent, rng)
    if found is None:
        return None
    text = rng.choice((f"is there {{}} in the {sense}?", f"do you {_SEES[sense]} {{}}?"))
    return Question("existence", text.format(_thing_of(*found)), "yes" if yes else "no")


def _sense(pair: Pair, rng: random.Random) -> Question | None:
    """Seen, heard, or both?"""
    target: tuple[Sense, ...] = rng.choice((("picture",), ("sound",), ("picture", "sound")))
    found = _drawn(pair, lambda senses: senses == target, rng)
    if found is None:
        return None
    answer = "both" if len(target) == 2 else _SEES[target[0]]
    return Question("sense", f"do you see or hear {_thing_of(*found)}?", answer)


_RELATIONS: Final[dict[str, tuple[str, Callable[[Thing, Thing], int]]]] = {
    # > 0 yes, < 0 no (the same pair the other way round), 0 not asked
    "larger": ("size", lambda a, b: (a.size == "large") - (b.size == "large")),
    "smaller": ("size", lambda a, b: (b.size == "large") - (a.size == "large")),
    "left of": ("place", lambda a, b: b.column - a.column),
    "right of": ("place", lambda a, b: a.column - b.column),
    "above": ("place", lambda a, b: b.row - a.row),
    "below": ("place", lambda a, b: a.row - b.row),
}


def _comparison(pair: Pair, rng: random.Random) -> Question | None:
    """One thing seen beside one thing heard."""
    if rng.random() < 0.65:
        return _same(pair, rng)
    relation = rng.choice(tuple(_RELATIONS))
    field, sign = _RELATIONS[relation]
    ends = [(sense, rng.choice(pair.of(sense).things)) for sense in _order(rng)]
    names = [_name(pair, sense, thing, rng, field) for sense, thing in ends]
    verdict = sign(ends[0][1], ends[1][1])
    if verdict == 0 or None in names:
        return None
    text = f"is {names[0]} {relation}{' than' if field == 'size' else ''} {names[1]}?"
    return Question("comparison", text, "yes" if verdict > 0 else "no")


def _same(pair: Pair, rng: random.Random) -> Question | None:
    field = rng.choice(("colour", "colour", "shape", "shape", "size", "place"))
    yes = rng.random() < 0.5
    ends = [
        both
        for both in product(pair.picture.things, pair.sound.things)
        if (getattr(both[0], field) == getattr(both[1], field)) == yes
    ]
    if not ends:
        return None
    seen, heard = rng.choice(ends)
    names = [_name(pair, "picture", seen, rng, field), _name(pair, "sound", heard, rng, field)]
    if None in names:
        return None
    rng.shuffle(names)
    at = "at " if field == "place" else ""
    text = rng.choice(
        (f"are {names[0]} and {names[1]} {at}the same {field}?", f"is {names[0]} {at}the same {field} as {names[1]}?")
    )
    return Question("comparison", text, "yes" if yes else "no")


def ask_describe(pair: Pair, rng: random.Random) -> Question:
    """The question whose answer is the canonical full description."""
    text = rng.choice(("describe the picture and the sound.", "what do you see and hear?", "describe both."))
    return Question(DESCRIBE, text, canonical(pair))


def ask(pair: Pair, rng: random.Random, kind: str | None = None) -> Question | None:
    """A question of a kind (random where None); None where the pair does not allow the one drawn.

    Raises:
        ValueError: an unknown kind.
    """
    kind = kind or rng.choices(QUESTION_TYPES, weights=_SHARES)[0]
    if kind in _ASK:
        return _attribute(kind, pair, rng)
    makers: dict[str, Callable[[Pair, random.Random], Question | None]] = {
        "count": _count,
        "existence": _existence,
        "comparison": _comparison,
        "sense": _sense,
        DESCRIBE: ask_describe,
    }
    if kind not in makers:
        raise ValueError(f"unknown kind of question {kind!r}; known: {', '.join((*QUESTION_TYPES, DESCRIBE))}")
    return makers[kind](pair, rng)


def ask_many(pair: Pair, rng: random.Random, count: int, kinds: Sequence[str] | None = None) -> list[Question]:
    """Up to ``count`` different questions about a pair, of the given kinds (None: all kinds mixed)."""
    return several(ask, pair, rng, count, kinds)
