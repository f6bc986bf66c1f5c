"""A second, independent reader of the motion language: from any description to facts, from facts to answers.

It knows the sentences, not the code that makes them: what a description does not say, it cannot answer.
"""

from __future__ import annotations

import re
from typing import Any

COLOUR = "red|orange|yellow|green|blue|purple|white|black"
SHAPE = "circle|square|triangle|star|cross|ring"
NAME = rf"(?P<colour>{COLOUR}) (?P<shape>{SHAPE})"
WAY = "(?P<way>left|right|up|down)"
SPEED = "(?P<speed>slow|fast)"
TURN = "(?: (?P<turn>first|second|last))?"
CLAUSES = [
    re.compile(pattern)
    for pattern in (
        rf"an? {SPEED} {NAME} moves {WAY}{TURN}",
        rf"an? {NAME} is still",
        rf"the {SPEED} object that moves {WAY}{TURN} is an? {NAME}",
        rf"the object that is still is an? {NAME}",
        rf"the {NAME} is {SPEED} and moves {WAY}{TURN}",
        rf"the {NAME} is still",
        rf"one object moves (?:(?P<turn>first|second|last) and )?{WAY}, an? {SPEED} {NAME}",
        rf"one object is still, an? {NAME}",
    )
]
EVENT = re.compile(rf"the ({COLOUR}) ({SHAPE}) and the ({COLOUR}) ({SHAPE}) (meet|part)")
RANK = {"first": 0, "second": 1, "last": 2}

Facts = dict[tuple[str, str], dict[str, Any]]


def read(description: str) -> tuple[Facts, str, frozenset[tuple[str, str]]]:
    """(colour, shape) -> way, speed and turn of each; what two of them do; which two."""
    facts: Facts = {}
    event, pair = "", frozenset[tuple[str, str]]()
    text = re.sub(r", (?=an? (slow|fast) \w+ \w+ moves|an? \w+ \w+ is still)", ". ", description)
    for sentence in text.removesuffix(".").split(". "):
        if found := EVENT.fullmatch(sentence):
            assert not event
            event, pair = found[5], frozenset({(found[1], found[2]), (found[3], found[4])})
            continue
        matches = [match for clause in CLAUSES if (match := clause.fullmatch(sentence))]
        assert len(matches) == 1, sentence
        said = matches[0].groupdict()
        name = (said.pop("colour"), said.pop("shape"))
        assert name not in facts, sentence
        facts[name] = {key: said.get(key) for key in ("way", "speed", "turn")}
    return facts, event, pair


def _find(phrase: str, facts: Facts) -> tuple[str, str]:
    words = phrase.removeprefix("the ").split()
    found = [name for name in facts if all(word in (*name, "object") for word in words)]
    if len(found) != 1:
        raise ValueError(f"{phrase!r} names {len(found)} objects")
    return found[0]


def answer(question: str, description: str) -> str:
    """The answer that the description gives.

    Raises:
        ValueError: the question does not fit it.
    """
    facts, event, pair = read(description)

    def yes(truth: bool) -> str:
        return "yes" if truth else "no"

    the = rf"the (?:{COLOUR}) (?:{SHAPE})|the (?:{COLOUR}) object|the (?:{SHAPE})|the object"
    if found := re.fullmatch(rf"(?:what|which) (colour|shape) is ({the})\?", question):
        return _find(found[2], facts)[found[1] == "shape"]
    if found := re.fullmatch(rf"(?:which way|where) does ({the}) move\?", question):
        return str(facts[_find(found[1], facts)]["way"])
    if found := re.fullmatch(rf"(?:is ({the}) (?:slow or fast|fast or slow)|how fast does ({the}) move)\?", question):
        return str(facts[_find(found[1] or found[2], facts)]["speed"])
    if found := re.fullmatch(rf"does ({the}) move (?:first or last|last or first)\?", question):
        return str(facts[_find(found[1], facts)]["turn"])
    if found := re.fullmatch(rf"does ({the}) move (before|after) ({the})\?", question):
        first, second = (RANK[facts[_find(found[i], facts)]["turn"]] for i in (1, 3))
        return yes(first < second if found[2] == "before" else first > second)
    if found := re.fullmatch(rf"do ({the}) and ({the}) (meet or part|part or meet|meet|part)\?", question):
        right = pair == {_find(found[1], facts), _find(found[2], facts)}
        return yes(right and event == found[3]) if " " not in found[3] else event if right else "neither"
    if found := re.fullmatch(rf"is ({the}) (faster|slower) than ({the})\?", question):
        first, second = (facts[_find(found[i], facts)]["speed"] == "fast" for i in (1, 3))
        return yes(first > second if found[2] == "faster" else first < second)
    if found := re.fullmatch(rf"do ({the}) and ({the}) move the same way\?", question):
        return yes(facts[_find(found[1], facts)]["way"] == facts[_find(found[2], facts)]["way"])
    if found := re.fullmatch(rf"does ({the}) move\?", question):
        return yes(facts[_find(found[1], facts)]["way"] is not None)
    if found := re.fullmatch(rf"is ({the}) still\?", question):
        return yes(facts[_find(found[1], facts)]["way"] is None)
    if found := re.fullmatch(r"which object (?:moves|is) (\w+)\?", question):
        word = found[1]
        fits = [name for name, said in facts.items() if word in said.values() or (word == "still" and not said["way"])]
        if len(fits) == 1:
            return f"the {fits[0][0]} {fits[0][1]}"
    raise ValueError(f"{question!r} is not understood, or names nothing in {description!r}")
