"""What can be said and asked about a molecule: descriptions, questions and their answers.

Owns every sentence and the truth of the answers, both from a molecule's `Facts`. Knows nothing of SMILES or RDKit.

As in `midstream.pocket.language`, the words that carry a fact always stand behind a space, and a question is only made
when the facts answer it without ambiguity.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from midstream.errors import InputError
from midstream.pocket.language import DESCRIBE, NUMBERS, Question, several
from midstream.pocket.molecules.world import ATOMS, GROUPS, HALOGENS, MOST, Facts, Molecule

QUESTION_TYPES: Final = ("rings", "count", "existence", "atom", "charge", "weight", "polarity")
WORDS: Final[tuple[str, ...]] = (
    *GROUPS,
    *ATOMS,
    *("molecule", "group", "groups", "ring", "rings", "aromatic", "halogen", "halogens", "charge"),
    *("positive", "negative", "none", "heavy", "light", "weight", "polar", "nonpolar"),
    *("only", "carbon", "atoms", "number"),
)
_PRESENT: Final = {  # share of pocket molecules that have it (measured); only evens out yes and no
    **dict(zip(GROUPS, (0.13, 0.06, 0.25, 0.42, 0.14, 0.14, 0.3, 0.19, 0.1), strict=True)),
    **dict(zip(ATOMS, (0.77, 0.86, 0.33, 0.1, 0.1, 0.09), strict=True)),
    "halogen": 0.26,
}
_SHARES: Final = (0.2, 0.2, 0.24, 0.08, 0.12, 0.08, 0.08)


def _facts(latent: Molecule | Facts) -> Facts:
    facts = latent.facts if isinstance(latent, Molecule) else latent
    most = max([facts.rings, *(count for _, count in facts.groups)])
    if most > MOST:
        raise InputError(f"a number in this molecule is {most}; the pocket language counts to {MOST} only")
    return facts


def _a(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _many(count: int, noun: str) -> str:
    return f"{NUMBERS[count]} {noun}" + ("" if count == 1 else "s")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _numbers(facts: Facts) -> list[tuple[int, str]]:
    """Everything counted: number and noun."""
    rings = [(facts.rings, "ring"), (facts.aromatic, "aromatic ring")]
    return rings + [(count, f"{name} group") for name, count in facts.groups]


def _atoms(facts: Facts) -> str:
    return _listed(facts.atoms) if facts.atoms else "only carbon"


def _charge(facts: Facts) -> str:
    return "no" if facts.charge == "none" else facts.charge


def canonical(latent: Molecule | Facts) -> str:
    """The one description that a ``describe`` question is answered with.

    Raises:
        InputError: a number above four.
    """
    facts = _facts(latent)
    counted = ", ".join(_many(count, noun) for count, noun in _numbers(facts))
    return f"a {facts.weight} {facts.polarity} molecule with {_charge(facts)} charge, {counted}, {_atoms(facts)}."


def _noun_phrase(facts: Facts, rng: random.Random) -> str:
    parts = [f"{_charge(facts)} charge", *(_many(count, noun) for count, noun in _numbers(facts))]
    rng.shuffle(parts)
    return f"a {facts.weight} {facts.polarity} molecule with {', '.join(parts)}, {_atoms(facts)}."


def _sentences(facts: Facts, rng: random.Random) -> list[str]:
    said = [f"there {'is' if count == 1 else 'are'} {_many(count, noun)}" for count, noun in _numbers(facts)]
    said += [f"it has {_charge(facts)} charge", f"it has {_atoms(facts)}"]
    return [*said, f"it is {facts.weight}", f"it is {facts.polarity}"]


def _statements(facts: Facts, rng: random.Random) -> list[str]:
    said = [f"the number of {noun}s is {NUMBERS[count]}" for count, noun in _numbers(facts)]
    said += [f"the charge is {facts.charge}", f"the atoms are {_atoms(facts)}"]
    return [*said, f"the molecule is {facts.weight}", f"the molecule is {facts.polarity}"]


def _mixed(facts: Facts, rng: random.Random) -> list[str]:
    return [rng.choice(pair) for pair in zip(_sentences(facts, rng), _statements(facts, rng), strict=True)]


_GRAMMARS: Final[tuple[Callable[[Facts, random.Random], list[str]], ...]] = (_sentences, _statements, _mixed)


def describe(latent: Molecule | Facts, rng: random.Random, plain: bool = False) -> str:
    """A full description (every fact; a group that is not named is absent) in a random grammar and order.

    Args:
        latent: what to describe.
        rng: decides grammar and order.
        plain: only the two plainest grammars, never mixed.

    Raises:
        InputError: a number above four.
    """
    facts = _facts(latent)
    chosen = rng.randrange(2 if plain else len(_GRAMMARS) + 1)
    if chosen == 0:
        return _noun_phrase(facts, rng)
    said = _GRAMMARS[chosen - 1](facts, rng)
    rng.shuffle(said)
    return ". ".join(said) + "."


def _ask_rings(facts: Facts, rng: random.Random) -> Question:
    aromatic = rng.random() < 0.5
    phrase = rng.choice(("how many {} are there?", "how many {} does it have?"))
    noun = "aromatic rings" if aromatic else "rings"
    return Question("rings", phrase.format(noun), NUMBERS[facts.aromatic if aromatic else facts.rings])


def _ask_count(facts: Facts, rng: random.Random) -> Question:
    names = [name for name, _ in facts.groups]
    several = [name for name, count in facts.groups if count > 1]
    chance = rng.random()
    name = rng.choice(several if several and chance < 0.5 else names if names and chance < 0.8 else GROUPS)
    phrase = rng.choice(("how many {} groups are there?", "how many {} groups does it have?"))
    return Question("count", phrase.format(name), NUMBERS[facts.count(name)])


def _ask_existence(facts: Facts, rng: random.Random) -> Question | None:
    for _ in range(6):
        name = rng.choice(tuple(_PRESENT))
        present = bool(facts.count(name)) or name in facts.atoms
        if name == "halogen":
            present = not set(HALOGENS).isdisjoint(facts.atoms)
        odds = _PRESENT[name] / (1 - _PRESENT[name])
        if rng.random() > (1 / odds if present else odds):  # so that yes and no are as frequent for every name
            continue
        noun = name if name in ATOMS else _a("halogen") if name == "halogen" else _a(f"{name} group")
        phrase = rng.choice(("is there {}?", "does it have {}?"))
        return Question("existence", phrase.format(noun), "yes" if present else "no")
    return None


def _ask_atom(facts: Facts, rng: random.Random) -> Question | None:
    halogens = [name for name in HALOGENS if name in facts.atoms]
    if len(halogens) != 1:
        return None
    return Question("atom", rng.choice(("which halogen is there?", "what halogen does it have?")), halogens[0])


def _ask_charge(facts: Facts, rng: random.Random) -> Question:
    return Question("charge", rng.choice(("what is the charge?", "which charge does it have?")), facts.charge)


def _ask_weight(facts: Facts, rng: random.Random) -> Question:
    return Question("weight", rng.choice(("is it heavy or light?", "is it light or heavy?")), facts.weight)


def _ask_polarity(facts: Facts, rng: random.Random) -> Question:
    return Question("polarity", rng.choice(("is it polar or nonpolar?", "is it nonpolar or polar?")), facts.polarity)


_MAKERS: Final[dict[str, Callable[[Facts, random.Random], Question | None]]] = {
    "rings": _ask_rings,
    "count": _ask_count,
    "existence": _ask_existence,
    "atom": _ask_atom,
    "charge": _ask_charge,
    "weight": _ask_weight,
    "polarity": _ask_polarity,
}


def ask_describe(latent: Molecule | Facts, rng: random.Random) -> Question:
    """The question whose answer is the canonical full description."""
    text = rng.choice(("describe the molecule.", "what is in the molecule?", "what molecule is it?"))
    return Question(DESCRIBE, text, canonical(latent))


def ask(latent: Molecule | Facts, rng: random.Random, kind: str | None = None) -> Question | None:
    """A question of a kind (random where None); None where the molecule does not allow the one drawn.

    Raises:
        InputError: a number above four.
        ValueError: an unknown kind.
    """
    kind = kind or rng.choices(QUESTION_TYPES, weights=_SHARES)[0]
    if kind == DESCRIBE:
        return ask_describe(latent, rng)
    if kind not in _MAKERS:
        raise ValueError(f"unknown kind of question {kind!r}; known: {', '.join((*QUESTION_TYPES, DESCRIBE))}")
    return _MAKERS[kind](_facts(latent), rng)


def ask_many(
    latent: Molecule | Facts, rng: random.Random, count: int, kinds: Sequence[str] | None = None
) -> list[Question]:
    """Up to ``count`` different questions about a molecule, of the given kinds (None: all kinds mixed)."""
    return several(ask, latent, rng, count, kinds)
