"""A second, independent reading of the pocket questions: from the words alone to the answer, by searching the scene."""

from __future__ import annotations

import re

from midstream.pocket.world import COLOURS, PLACES, SHAPES, SIZES, Scene, Thing

_NUMBERS = ("zero", "one", "two", "three", "four")
_PLACE = "|".join(sorted(PLACES, key=len, reverse=True))
_RELATIONS = ("larger", "bigger", "smaller", "left of", "right of", "above", "below")
_PHRASE = (
    rf"(?:(?:{'|'.join(SIZES)}) )?(?:(?:{'|'.join(COLOURS)}) )?"
    rf"(?:{'|'.join((*SHAPES, 'objects', 'object'))})(?:es|s)?(?: at (?:{_PLACE}))?"
)


def things_meant(phrase: str, scene: Scene) -> list[Thing]:
    """Every thing of the scene that the words of a noun phrase fit."""
    words = [word for word in phrase.replace("?", "").split() if word not in ("at", "a", "an", "the")]
    found = list(scene.things)
    for word in words:
        if word.startswith("object"):
            continue
        singular = next((shape for shape in SHAPES if word in (shape, shape + "s", shape + "es")), word)
        found = [thing for thing in found if singular in thing]
    return found


def answer(text: str, scene: Scene) -> str:
    """The answer to a question, re-derived. Raises where the question is not understood or not unambiguous."""
    if match := re.fullmatch(r"how many (.+?) (?:are there|can you see)\?", text):
        return _NUMBERS[len(things_meant(match[1], scene))]
    if match := re.fullmatch(r"(?:is there|can you see) (?:anything at (.+)|(an? .+))\?", text):
        wanted = f"object at {match[1]}" if match[1] else match[2]
        return "yes" if things_meant(wanted, scene) else "no"
    if text.startswith(("are the", "is the")):
        return "yes" if _compare(text, scene) else "no"
    phrases = re.findall(rf"\bthe ({_PHRASE})\?", text)
    assert len(phrases) == 1, text
    (thing,) = things_meant(phrases[0], scene)
    if "colour" in text or "color" in text:
        return thing.colour
    if "shape" in text:
        return thing.shape
    if "size" in text or "how big" in text:
        return thing.size
    assert "where" in text or "place" in text, text
    return thing.place


def _compare(text: str, scene: Scene) -> bool:
    phrases = re.findall(rf"\bthe ({_PHRASE})(?= |\?)", text)
    assert len(phrases) == 2, (text, phrases)
    (a,), (b,) = (things_meant(phrase, scene) for phrase in phrases)
    if match := re.search(r"the same (colour|shape|size)", text):
        return bool(getattr(a, match[1]) == getattr(b, match[1]))
    (ay, ax), (by, bx) = (divmod(PLACES.index(thing.place), 3) for thing in (a, b))
    relation = next(word for word in _RELATIONS if f" {word} " in text)
    return {
        "left of": ax < bx,
        "right of": ax > bx,
        "above": ay < by,
        "below": ay > by,
        **dict.fromkeys(("larger", "bigger"), (a.size, b.size) == ("large", "small")),
        "smaller": (a.size, b.size) == ("small", "large"),
    }[relation]
