"""A second, independent reading of the pocket molecules: descriptions back to facts, questions to answers."""

from __future__ import annotations

import re

from midstream.pocket.molecules.world import ATOMS, GROUPS, HALOGENS, Facts

_NUMBERS = ("zero", "one", "two", "three", "four")


def _number(clause: str) -> int:
    return _NUMBERS.index(next(word for word in re.findall(r"[a-z]+", clause) if word in _NUMBERS))


def facts_of(description: str) -> Facts:
    """The facts that a description in any grammar says. Raises where something is missing or contradicts itself."""
    text = description.rstrip(".")
    said: dict[str, int | str] = {}

    def note(name: str, value: int | str) -> None:
        assert said.setdefault(name, value) == value, description

    for clause in re.split(r"\. |, | with ", text):
        words = set(re.findall(r"[a-z]+", clause))
        if words & {"ring", "rings"}:
            note("aromatic" if "aromatic" in words else "rings", _number(clause))
        elif words & {"group", "groups"}:
            note(next(group for group in GROUPS if group in words), _number(clause))
        elif "charge" in words:
            note("charge", next((sign for sign in ("positive", "negative") if sign in words), "none"))
        for field, known in (("weight", ("light", "heavy")), ("polarity", ("polar", "nonpolar"))):
            for word in words & set(known):
                note(field, word)
    atoms = tuple(atom for atom in ATOMS if re.search(rf"\b{atom}\b", text))
    assert bool(atoms) != ("only carbon" in text), description
    counts = tuple((group, int(said[group])) for group in GROUPS if group in said)
    return Facts(
        int(said["rings"]),
        int(said["aromatic"]),
        counts,
        atoms,
        str(said["charge"]),
        str(said["weight"]),
        str(said["polarity"]),
    )


def answer(question: str, facts: Facts) -> str:
    """What the facts answer."""
    words = re.findall(r"[a-z]+", question)
    named = [word for word in words if word in (*GROUPS, *ATOMS)]
    if words[:2] == ["how", "many"]:
        if "rings" in words:
            return _NUMBERS[facts.aromatic if "aromatic" in words else facts.rings]
        return _NUMBERS[dict(facts.groups).get(named[0], 0)]
    if "charge" in words:
        return facts.charge
    if "heavy" in words:
        return facts.weight
    if "polar" in words:
        return facts.polarity
    halogens = [atom for atom in facts.atoms if atom in HALOGENS]
    if words[0] in ("which", "what"):
        (only,) = halogens
        return only
    if "halogen" in words:
        return "yes" if halogens else "no"
    return "yes" if named[0] in facts.atoms or named[0] in dict(facts.groups) else "no"
