"""What can be said and asked about a recording: descriptions, questions and their answers.

Owns every sentence about series and the truth of the answers. Knows nothing of tokens, prompts or samples in time.
Attribute words stay behind a space, as in `midstream.pocket.language`, whose words are used again where they fit: a
line is *above* another, a spike stands *at left*.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Final

from midstream.pocket.language import DESCRIBE, NUMBERS, Question, several
from midstream.pocket.series.world import FAULTS, LEVELS, TRENDS, WAVES, Line, Recording

QUESTION_TYPES: Final = ("trend", "wave", "level", "line", "fault", "place", "count", "existence", "comparison")
WORDS: Final[tuple[str, ...]] = (
    *TRENDS, *WAVES, *LEVELS, *FAULTS,
    "trend", "wave", "level", "line", "lines", "faster", "wrong", "nothing", "with", "has", "or",
)  # fmt: skip
_SHARES: Final = (0.15, 0.15, 0.10, 0.15, 0.09, 0.08, 0.08, 0.10, 0.10)
_KNOWN: Final = {"trend": TRENDS, "wave": WAVES, "level": LEVELS}


def _fault(recording: Recording) -> str:
    fault = recording.fault
    return f"a {fault.kind} at {fault.place} in the {fault.colour} line" if fault else "nothing is wrong"


def _noun(line: Line) -> str:
    return f"a {line.level} {line.trend} {line.wave} {line.colour} line"


def canonical(recording: Recording) -> str:
    """The one description that a ``describe`` question is answered with: the lines in channel order, then the fault."""
    return ", ".join([*(_noun(line) for line in recording.lines), _fault(recording)]) + "."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _by_line(recording: Recording, rng: random.Random) -> list[str]:
    said = [f"the {x.colour} line is {x.level}, {x.trend} and {x.wave}" for x in recording.lines]
    fault = recording.fault
    return [*said, f"there is {_fault(recording)}" if fault else _fault(recording)]


def _by_noun(recording: Recording, rng: random.Random) -> list[str]:
    said = []
    for line in recording.lines:
        fault = recording.fault if recording.fault and recording.fault.colour == line.colour else None
        tail = f"a {fault.kind} at {fault.place}" if fault else "nothing wrong"
        said.append(f"there is {_noun(line)} with {tail}")
    return said


def _by_word(recording: Recording, rng: random.Random) -> list[str]:
    """One sentence for each word that some line wears: the other way round, from a word to its lines."""
    said = []
    for field, known in _KNOWN.items():
        for word in known:
            wearers = [line.colour for line in recording.lines if getattr(line, field) == word]
            if wearers:
                rng.shuffle(wearers)
                verb = "line is" if len(wearers) == 1 else "lines are"
                said.append(f"the {word} {verb} {_listed(wearers)}")
    fault = recording.fault
    said.append(f"the {fault.kind} is at {fault.place} in the {fault.colour} line" if fault else _fault(recording))
    return said


def _by_field(recording: Recording, rng: random.Random) -> list[str]:
    said = [
        f"the {field} of the {line.colour} line is {getattr(line, field)}"
        for line in recording.lines
        for field in _KNOWN
    ]
    fault = recording.fault
    said.append(f"at {fault.place} there is a {fault.kind} in the {fault.colour} line" if fault else _fault(recording))
    return said


_GRAMMARS: Final[tuple[Callable[[Recording, random.Random], list[str]], ...]] = (
    _by_line,
    _by_noun,
    _by_word,
    _by_field,
)


def describe(recording: Recording, rng: random.Random, plain: bool = False) -> str:
    """A full description (every attribute of every line, and the fault) in a random grammar and order.

    Args:
        recording: what to describe.
        rng: decides grammar and order.
        plain: only the two plainest grammars.
    """
    grammar = rng.choice((None, *_GRAMMARS[: 1 if plain else None]))
    if grammar is None:
        said = [*(_noun(line) for line in recording.lines), _fault(recording)]
        return ", ".join(rng.sample(said, len(said))) + "."
    said = grammar(recording, rng)
    return ". ".join(rng.sample(said, len(said))) + "."


def _matches(recording: Recording, **wanted: str) -> list[Line]:
    return [line for line in recording.lines if all(getattr(line, field) == word for field, word in wanted.items())]


def refer(recording: Recording, line: Line, rng: random.Random, hide: str) -> str | None:
    """A phrase that names exactly this line without using the attribute ``hide``; None where there is none."""
    if hide != "colour" and rng.random() < 0.6:
        return f"the {line.colour} line"
    choices = []
    if recording.fault and recording.fault.colour == line.colour:
        choices.append(f"the line with the {recording.fault.kind}")
    for size in (1, 2):
        for fields in combinations([field for field in ("level", "trend", "wave") if field != hide], size):
            words = {field: getattr(line, field) for field in fields}
            if len(_matches(recording, **words)) == 1:
                choices.append(f"the {' '.join(words.values())} line")
    if choices:
        return rng.choice(choices)
    return None if hide == "colour" else f"the {line.colour} line"


_ASK: Final = {
    "trend": ("what is the trend of {}?", "is {} rising, falling or flat?", "which trend has {}?"),
    "wave": ("what is the wave of {}?", "is {} fast, slow or smooth?", "which wave has {}?"),
    "level": ("what is the level of {}?", "is {} high or low?", "which level has {}?"),
}


def _attribute(field: str, recording: Recording, rng: random.Random) -> Question | None:
    line = rng.choice(recording.lines)
    name = refer(recording, line, rng, hide=field)
    if name is None:
        return None
    return Question(field, rng.choice(_ASK[field]).format(name), getattr(line, field))


def _line(recording: Recording, rng: random.Random) -> Question | None:
    line = rng.choice(recording.lines)
    name = refer(recording, line, rng, hide="colour")
    if name is None:
        return None
    phrase = rng.choice(("what colour is {}?", "which colour is {}?", "what is the colour of {}?"))
    return Question("line", phrase.format(name), line.colour)


def _ask_fault(recording: Recording, rng: random.Random) -> Question | None:
    fault = recording.fault
    if rng.random() < 0.5:
        if fault and rng.random() < 0.5:  # evens out a spike, a gap and nothing
            return None
        return Question("fault", "what is wrong?", f"a {fault.kind}" if fault else "nothing")
    if fault and rng.random() < 2 / 3:  # evens out yes and no
        return None
    return Question("fault", "is anything wrong?", "yes" if fault else "no")


def _place(recording: Recording, rng: random.Random) -> Question | None:
    fault = recording.fault
    if fault is None:
        return None
    return Question(
        "place", rng.choice(("where is the {}?", "in which place is the {}?")).format(fault.kind), fault.place
    )


def _count(recording: Recording, rng: random.Random) -> Question:
    field = rng.choice(tuple(_KNOWN))
    word = rng.choice(_KNOWN[field])
    phrase = rng.choice(("how many {} lines are there?", "how many lines are {}?"))
    return Question("count", phrase.format(word), NUMBERS[len(_matches(recording, **{field: word}))])


def _existence(recording: Recording, rng: random.Random) -> Question | None:
    yes = rng.random() < 0.5
    said = "yes" if yes else "no"
    kind = rng.choice(("fault", "colour", "pair", "pair"))
    if kind == "fault":
        present = recording.fault.kind if recording.fault else None
        choices = [word for word in FAULTS if (word == present) == yes]
        return Question("existence", f"is there a {rng.choice(choices)}?", said) if choices else None
    line = rng.choice(recording.lines)
    if kind == "colour":
        field = rng.choice(tuple(_KNOWN))
        word = rng.choice([word for word in _KNOWN[field] if (word == getattr(line, field)) == yes])
        return Question("existence", f"is the {line.colour} line {word}?", said)
    first, second = rng.choice(list(combinations(("level", "trend", "wave"), 2)))
    worn = {(getattr(x, first), getattr(x, second)) for x in recording.lines}
    # of the pairs not worn, those whose words both occur are the test of binding
    apart = sorted({(a, b) for a, _ in worn for _, b in worn} - worn)
    anywhere = [(a, b) for a in _KNOWN[first] for b in _KNOWN[second] if (a, b) not in worn]
    pairs = sorted(worn) if yes else apart if apart and rng.random() < 0.8 else anywhere
    return Question("existence", f"is there a {' '.join(rng.choice(pairs))} line?", said) if pairs else None


_VERDICTS: Final[dict[str, tuple[str, str, Callable[[Line, Line], int]]]] = {
    # phrase, the attribute that must not name the lines, and > 0 yes, < 0 no, 0 not asked
    "above": ("is {} above {}?", "level", lambda a, b: (a.level == "high") - (b.level == "high")),
    "below": ("is {} below {}?", "level", lambda a, b: (b.level == "high") - (a.level == "high")),
    "faster": ("is {} faster than {}?", "wave", lambda a, b: _speed(a) * _speed(b) * (_speed(a) - _speed(b))),
}


def _speed(line: Line) -> int:
    return {"smooth": 0, "slow": 1, "fast": 2}[line.wave]


def _comparison(recording: Recording, rng: random.Random) -> Question | None:
    first, second = rng.sample(recording.lines, 2)
    kind = rng.choice((*_VERDICTS, "same", "same", "which"))
    if kind == "same":
        field = rng.choice(tuple(_KNOWN))
        yes = rng.random() < 1 - 1 / len(_KNOWN[field])  # evens out yes and no
        if (getattr(first, field) == getattr(second, field)) != yes:
            return None
        names = [refer(recording, line, rng, hide=field) for line in (first, second)]
        return Question("comparison", f"are {names[0]} and {names[1]} the same {field}?", "yes" if yes else "no")
    if kind == "which":
        if _VERDICTS["faster"][2](first, second) == 0:
            return None
        text = f"which is faster, the {first.colour} line or the {second.colour} line?"
        return Question("comparison", text, max(first, second, key=_speed).colour)
    phrase, hide, sign = _VERDICTS[kind]
    verdict = sign(first, second)
    if verdict == 0:
        return None
    names = [refer(recording, line, rng, hide=hide) for line in (first, second)]
    return Question("comparison", phrase.format(*names), "yes" if verdict > 0 else "no")


def ask_describe(recording: Recording, rng: random.Random) -> Question:
    """The question whose answer is the canonical full description."""
    text = rng.choice(("describe the lines.", "what are the lines?", "what do you see?"))
    return Question(DESCRIBE, text, canonical(recording))


def ask_thing(recording: Recording, rng: random.Random) -> Question:
    """What one line is, or what is wrong, answered in full: not a test question, but the plainest reading exercise."""
    if rng.random() < 0.25:
        return Question(DESCRIBE, "what is wrong in the lines?", f"{_fault(recording)}.")
    line = rng.choice(recording.lines)
    return Question(DESCRIBE, f"what is the {line.colour} line?", f"{_noun(line)}.")


def ask(recording: Recording, rng: random.Random, kind: str | None = None) -> Question | None:
    """A question of a kind (random where None); None where the recording does not allow the one drawn.

    Raises:
        ValueError: an unknown kind.
    """
    kind = kind or rng.choices(QUESTION_TYPES, weights=_SHARES)[0]
    if kind in _ASK:
        return _attribute(kind, recording, rng)
    makers: dict[str, Callable[[Recording, random.Random], Question | None]] = {
        "line": _line,
        "fault": _ask_fault,
        "place": _place,
        "count": _count,
        "existence": _existence,
        "comparison": _comparison,
        DESCRIBE: ask_describe,
    }
    if kind not in makers:
        raise ValueError(f"unknown kind of question {kind!r}; known: {', '.join((*QUESTION_TYPES, DESCRIBE))}")
    return makers[kind](recording, rng)


def ask_many(
    recording: Recording, rng: random.Random, count: int, kinds: Sequence[str] | None = None
) -> list[Question]:
    """Up to ``count`` different questions about a recording, of the given kinds (None: all kinds mixed)."""
    return several(ask, recording, rng, count, kinds)
