"""What can be said and asked about a clip: descriptions, questions and their answers.

Owns every sentence about motion and the truth of the answers. Knows nothing of tokens, prompts or pixels.

As in `midstream.pocket.language`, attribute words stand behind a space and a question is only made when the clip
answers it without ambiguity. Questions of the kinds in `MOTION_TYPES` cannot be answered from one still frame; those in
`FRAME_TYPES` can (colour, shape) or can be narrowed down by one (which: the frame shows the candidates).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from typing import Final

from midstream.pocket.language import DESCRIBE, Question, several
from midstream.pocket.motion.world import DIRECTIONS, SPEEDS, Clip, Mover
from midstream.pocket.world import COLOURS, SHAPES

MOTION_TYPES: Final = ("direction", "speed", "order", "collision", "comparison", "moving")
FRAME_TYPES: Final = ("colour", "shape", "which")
QUESTION_TYPES: Final = (*MOTION_TYPES, *FRAME_TYPES)
_SHARES: Final = (0.17, 0.10, 0.19, 0.18, 0.22, 0.10, 0.04, 0.04, 0.05)
ORDERS: Final = ((), ("",), ("first", "last"), ("first", "second", "last"))
"""For so many objects that move, the word for each one's turn to start; a single one needs none."""

WORDS: Final[tuple[str, ...]] = (
    "up", "down", "still", "slow", "fast", "slower", "faster", "first", "second", "last", "before", "after",
    "move", "moves", "meet", "part", "way", "video",
)  # fmt: skip
"""Words that the pictures' world does not use: each becomes one token."""


def _a(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _name(mover: Mover) -> str:
    return f"{mover.colour} {mover.shape}"


def order_of(clip: Clip, mover: Mover) -> str:
    """``first``, ``second`` or ``last`` to move; empty for what is still or moves alone."""
    return ORDERS[len(clip.moving)][clip.moving.index(mover)] if mover.moves else ""


def _canonical_clause(mover: Mover, turn: str) -> str:
    if not mover.moves:
        return f"{_a(_name(mover))} is still"
    return f"{_a(f'{mover.speed} {_name(mover)}')} moves {mover.direction}" + (f" {turn}" if turn else "")


def _by_motion(mover: Mover, turn: str) -> str:
    """Motion first, the name last: the other direction of look-up."""
    if not mover.moves:
        return f"the object that is still is {_a(_name(mover))}"
    return f"the {mover.speed} object that moves {mover.direction}{f' {turn}' if turn else ''} is {_a(_name(mover))}"


def _by_name(mover: Mover, turn: str) -> str:
    if not mover.moves:
        return f"the {_name(mover)} is still"
    return f"the {_name(mover)} is {mover.speed} and moves {mover.direction}{f' {turn}' if turn else ''}"


def _by_order(mover: Mover, turn: str) -> str:
    if not mover.moves:
        return f"one object is still, {_a(_name(mover))}"
    return f"one object moves {f'{turn} and ' if turn else ''}{mover.direction}, {_a(f'{mover.speed} {_name(mover)}')}"


_GRAMMARS: Final = (_canonical_clause, _by_motion, _by_name, _by_order)


def _event(clip: Clip, order: Sequence[int]) -> str:
    if not clip.event:
        return ""
    first, second = (_name(clip.movers[index]) for index in order)
    return f"the {first} and the {second} {clip.event}"


def canonical(clip: Clip) -> str:
    """The one description that a ``describe`` question is answered with: movers in the order in which they start."""
    clauses = ", ".join(_canonical_clause(mover, order_of(clip, mover)) for mover in clip.movers) + "."
    return f"{clauses} {_event(clip, clip.pair)}." if clip.event else clauses


def describe(clip: Clip, rng: random.Random, plain: bool = False) -> str:
    """A full description (every attribute of every mover, and the event) in a random grammar and order.

    Args:
        clip: what to describe.
        rng: decides grammar and order.
        plain: only two grammars (by name, by motion), never mixed.
    """
    movers = rng.sample(clip.movers, len(clip.movers))
    grammar = rng.choice(_GRAMMARS[:2] if plain else _GRAMMARS)
    mixed = not plain and rng.random() < 0.25
    clauses = [(rng.choice(_GRAMMARS) if mixed else grammar)(mover, order_of(clip, mover)) for mover in movers]
    if grammar is _canonical_clause and not mixed:
        clauses = [", ".join(clauses)]
    if clip.event:
        clauses.insert(rng.choice((0, len(clauses))), _event(clip, rng.sample(clip.pair, 2)))
    # the event's names, like all attribute words, stand behind "the", never first in the text
    return ". ".join(clauses) + "."


def refer(clip: Clip, mover: Mover, rng: random.Random, hide: str = "") -> str | None:
    """A phrase that names exactly this mover by colour, shape or both, without `hide`; None where there is none."""
    choices = []
    for fields in (("colour",), ("shape",), ("colour", "shape")):
        same = [other for other in clip.movers if all(getattr(other, f) == getattr(mover, f) for f in fields)]
        if hide not in fields and len(same) == 1:
            choices.append(fields)
    if not choices:
        return None
    fields = rng.choice(choices)
    return f"the {mover.colour + ' ' if 'colour' in fields else ''}{mover.shape if 'shape' in fields else 'object'}"


def _named(clip: Clip, rng: random.Random, *movers: Mover) -> list[str]:
    """Phrases that name the movers; colour and shape together always do (`make_clip` sees to it)."""
    return [phrase for mover in movers if (phrase := refer(clip, mover, rng)) is not None]


def _attribute(clip: Clip, rng: random.Random, field: str) -> Question | None:
    mover = rng.choice(clip.movers)
    name = refer(clip, mover, rng, hide=field)
    if name is None:
        return None
    phrase = rng.choice((f"what {field} is {name}?", f"which {field} is {name}?"))
    return Question(field, phrase, getattr(mover, field))


def _direction(clip: Clip, rng: random.Random) -> Question:
    mover = rng.choice(clip.moving)
    phrase = rng.choice(("which way does {} move?", "where does {} move?"))
    return Question("direction", phrase.format(*_named(clip, rng, mover)), mover.direction)


def _speed(clip: Clip, rng: random.Random) -> Question:
    mover = rng.choice(clip.moving)
    phrase = rng.choice(("is {} slow or fast?", "is {} fast or slow?", "how fast does {} move?"))
    return Question("speed", phrase.format(*_named(clip, rng, mover)), mover.speed)


def _order(clip: Clip, rng: random.Random) -> Question | None:
    if len(clip.moving) < 2:
        return None
    if rng.random() < 0.5:
        mover = rng.choice((clip.moving[0], clip.moving[-1]))
        phrase = rng.choice(("does {} move first or last?", "does {} move last or first?"))
        return Question("order", phrase.format(*_named(clip, rng, mover)), order_of(clip, mover))
    first, second = rng.sample(range(len(clip.moving)), 2)
    word = rng.choice(("before", "after"))
    names = _named(clip, rng, clip.moving[first], clip.moving[second])
    yes = (first < second) == (word == "before")
    return Question("order", "does {} move {w} {}?".format(*names, w=word), "yes" if yes else "no")


def _collision(clip: Clip, rng: random.Random) -> Question | None:
    quiet = [pair for pair in combinations(range(len(clip.movers)), 2) if pair != clip.pair]
    if quiet and rng.random() < 0.1:
        pair: Sequence[int] = rng.choice(quiet)
        names = _named(clip, rng, *(clip.movers[index] for index in rng.sample(pair, 2)))
        return Question("collision", "do {} and {} {w}?".format(*names, w=rng.choice(("meet", "part"))), "no")
    if not clip.event:
        return None
    names = _named(clip, rng, *(clip.movers[index] for index in rng.sample(clip.pair, 2)))
    if rng.random() < 0.5:
        phrase = rng.choice(("do {} and {} meet or part?", "do {} and {} part or meet?"))
        return Question("collision", phrase.format(*names), clip.event)
    word = clip.event if rng.random() < 0.58 else "meet" if clip.event == "part" else "part"  # evens out yes and no
    return Question("collision", "do {} and {} {w}?".format(*names, w=word), "yes" if word == clip.event else "no")


_COMPARED: Final[dict[str, tuple[str, Callable[[Mover, Mover], int]]]] = {
    # > 0 yes, < 0 no, 0 not asked
    "faster": ("is {} faster than {}?", lambda a, b: SPEEDS.index(a.speed) - SPEEDS.index(b.speed)),
    "slower": ("is {} slower than {}?", lambda a, b: SPEEDS.index(b.speed) - SPEEDS.index(a.speed)),
    "way": ("do {} and {} move the same way?", lambda a, b: 1 if a.direction == b.direction else -1),
}


def _comparison(clip: Clip, rng: random.Random) -> Question | None:
    phrase, verdict = _COMPARED[rng.choice(tuple(_COMPARED))]
    yes = rng.random() < 0.5
    pairs = [pair for pair in permutations(clip.moving, 2) if verdict(*pair) * (1 if yes else -1) > 0]
    if not pairs:
        return None
    return Question("comparison", phrase.format(*_named(clip, rng, *rng.choice(pairs))), "yes" if yes else "no")


def _moving(clip: Clip, rng: random.Random) -> Question | None:
    yes = rng.random() < 0.5
    movers = [mover for mover in clip.movers if mover.moves == yes]
    if len(movers) in (0, len(clip.movers)):  # asked only where some move and some do not
        return None
    (name,) = _named(clip, rng, rng.choice(movers))
    if rng.random() < 0.5:
        return Question("moving", f"does {name} move?", "yes" if yes else "no")
    return Question("moving", f"is {name} still?", "no" if yes else "yes")


def _which(clip: Clip, rng: random.Random) -> Question | None:
    mover = rng.choice(clip.movers)
    told = [(f"moves {mover.direction}", [other.direction == mover.direction for other in clip.movers])]
    if mover.moves:
        told.append((f"is {mover.speed}", [other.speed == mover.speed for other in clip.movers]))
        turn = order_of(clip, mover)
        told += [(f"moves {turn}", [order_of(clip, other) == turn for other in clip.movers])] if turn else []
    else:
        told = [("is still", [not other.moves for other in clip.movers])]
    words = [phrase for phrase, matches in told if sum(matches) == 1]
    if not words:
        return None
    return Question("which", f"which object {rng.choice(words)}?", f"the {_name(mover)}")


def ask_describe(clip: Clip, rng: random.Random) -> Question:
    """The question whose answer is the canonical full description."""
    return Question(DESCRIBE, rng.choice(("describe the video.", "what do you see?")), canonical(clip))


def ask_mover(clip: Clip, rng: random.Random) -> Question:
    """What one mover does, answered in full: not a test question, but the plainest reading exercise."""
    mover = rng.choice(clip.movers)
    return Question(
        DESCRIBE, f"how does the {_name(mover)} move?", f"{_canonical_clause(mover, order_of(clip, mover))}."
    )


def ask(clip: Clip, rng: random.Random, kind: str | None = None) -> Question | None:
    """A question of a kind (random where None); None where the clip does not allow the one drawn.

    Raises:
        ValueError: an unknown kind.
    """
    kind = kind or rng.choices(QUESTION_TYPES, weights=_SHARES)[0]
    makers: dict[str, Callable[[Clip, random.Random], Question | None]] = {
        "direction": _direction,
        "speed": _speed,
        "order": _order,
        "collision": _collision,
        "comparison": _comparison,
        "moving": _moving,
        "colour": lambda clip, rng: _attribute(clip, rng, "colour"),
        "shape": lambda clip, rng: _attribute(clip, rng, "shape"),
        "which": _which,
        DESCRIBE: ask_describe,
    }
    if kind not in makers:
        raise ValueError(f"unknown kind of question {kind!r}; known: {', '.join(makers)}")
    return makers[kind](clip, rng)


def ask_many(clip: Clip, rng: random.Random, count: int, kinds: Sequence[str] | None = None) -> list[Question]:
    """Up to ``count`` different questions about a clip, of the given kinds (None: all kinds mixed)."""
    return several(ask, clip, rng, count, kinds)


ATTRIBUTES: Final = frozenset(
    (*COLOURS, *SHAPES, *DIRECTIONS, *SPEEDS, "still", "first", "second", "last", "meet", "part")
)
"""The words of a description that carry its facts."""
