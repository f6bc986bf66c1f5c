"""Pocket molecules: how one is put together, which split it belongs to, and the facts that can be asked about it.

Owns the latent `Molecule`. Knows nothing of language, of RDKit or of training rows: what a molecule is made of already
says its facts, so that a language model's corpus can draw many thousands a second. `midstream.pocket.molecules.truth`
computes the same facts from the SMILES with RDKit, and the tests hold the two against each other.

Splits go by a hash of the facts and of the atoms a molecule is made of, so that two spellings of one molecule (and all
its isomers with the same facts) are in the same split. Four of the twenty scaffolds are *held out*: connector training
never sees them; the pretraining of the encoder and of the language model may.
"""

from __future__ import annotations

import hashlib
import random
import re
from typing import Final, NamedTuple

from midstream.pocket.molecules.pieces import CHARGED, LINKERS, SCAFFOLDS, SUBSTITUENTS, Part, Scaffold
from midstream.pocket.world import Bucket, of_split

GROUPS: Final = (
    "alcohol", "phenol", "acid", "amine", "amide", "ester", "ether", "ketone", "nitrile",
)  # fmt: skip
ATOMS: Final = ("nitrogen", "oxygen", "sulfur", "fluorine", "chlorine", "bromine")
HALOGENS: Final = ("fluorine", "chlorine", "bromine")
CHARGES: Final = ("none", "positive", "negative")
WEIGHTS: Final = ("light", "heavy")
POLARITIES: Final = ("nonpolar", "polar")
HEAVY_FROM: Final = 250.0  # g/mol
POLAR_FROM: Final = 60.0  # square angstrom of polar surface (Ertl's TPSA)
MOST: Final = 4  # the largest number that can be said
TOKENS: Final = re.compile(r"\[[^\]]+\]|Br|Cl|%\d\d|.")  # how a SMILES is cut: one token an atom, bond, digit, bracket
LONGEST: Final = 44  # tokens of a pocket molecule as assembled; its canonical SMILES is hardly ever longer
HELD_OUT: Final = frozenset({"indole", "thiophene", "oxane", "imidazole"})
_BUCKETS: Final[tuple[Bucket, ...]] = ("train",) * 8 + ("validation", "test")
_TWO_SCAFFOLDS: Final = 0.55
_COPY: Final = 0.3  # chance that a substituent repeats an earlier one: makes counting worth asking
_TO_SECOND: Final = str.maketrans("12", "34")  # ring numbers of the second scaffold


class Facts(NamedTuple):
    """What can be said of a molecule.

    Attributes:
        rings: number of rings (smallest set of smallest rings).
        aromatic: how many of them are aromatic.
        groups: name and number of each functional group present, in the order of `GROUPS`.
        atoms: names of the elements of `ATOMS` present, in that order.
        charge: ``none``, ``positive`` or ``negative``: the sign of the total formal charge.
        weight: ``light`` or ``heavy`` (`HEAVY_FROM`).
        polarity: ``nonpolar`` or ``polar`` (`POLAR_FROM`).
    """

    rings: int
    aromatic: int
    groups: tuple[tuple[str, int], ...]
    atoms: tuple[str, ...]
    charge: str
    weight: str
    polarity: str

    def count(self, group: str) -> int:
        """How many groups of that name there are."""
        return dict(self.groups).get(group, 0)


class Molecule(NamedTuple):
    """A latent molecule: its SMILES as assembled (not canonical), the scaffolds in it, and its facts."""

    smiles: str
    scaffolds: tuple[str, ...]
    facts: Facts

    @property
    def key(self) -> str:
        """A text that is equal for two spellings of one molecule: facts and numbers of heavy atoms."""
        carbons = self.smiles.upper().count("C") - self.smiles.count("Cl")
        others = [self.smiles.upper().count(letter) for letter in ("N", "O", "S", "F", "CL", "BR")]
        return f"{carbons}/{others}/{self.facts}"

    @property
    def bucket(self) -> Bucket:
        """The split this molecule belongs to, from a hash of its key (80 / 10 / 10 per cent)."""
        return _BUCKETS[hashlib.blake2b(self.key.encode(), digest_size=4).digest()[0] % len(_BUCKETS)]

    @property
    def has_held_out(self) -> bool:
        """Whether it is built on a held-out scaffold."""
        return not HELD_OUT.isdisjoint(self.scaffolds)


def _parts(rng: random.Random) -> list[Part]:
    """Up to four substituents; a charge is decided first, so that all three answers are about as frequent."""
    charge = rng.choices(("none", "positive", "negative", "both"), weights=(0.21, 0.37, 0.38, 0.04))[0]
    parts = [rng.choice(CHARGED[sign]) for sign in ("positive", "negative") if charge in (sign, "both")]
    neutral: list[Part] = []
    for _ in range(rng.choices((0, 1, 2, 3), weights=(0.08, 0.3, 0.4, 0.22))[0]):
        copied = neutral and rng.random() < _COPY
        neutral.append(rng.choice(neutral) if copied else rng.choice(SUBSTITUENTS[rng.choice(tuple(SUBSTITUENTS))]))
    parts += neutral
    rng.shuffle(parts)
    return parts


def _fill(scaffold: Scaffold, second: str, parts: list[Part], rng: random.Random) -> tuple[str, list[Part], list[str]]:
    """The scaffold's SMILES with `second` and as many of `parts` as fit; which these are, and the groups they add."""
    places = [index for index, letter in enumerate(scaffold.text) if letter in "*~"]
    used = parts[: min(len(places) - bool(second), 3)]
    chosen = rng.sample(places, len(used) + bool(second))
    attached = dict(zip(chosen, (part.text for part in used), strict=False))
    if second:
        attached[chosen[-1]] = second
    groups: list[str] = []
    for place, part in zip(chosen, used, strict=False):
        bare = "phenol" if scaffold.text[place] == "*" else "alcohol"
        groups += (bare,) if part.text == "O" else part.groups
    letters = (f"({attached[i]})" if i in attached else "" if c in "*~" else c for i, c in enumerate(scaffold.text))
    return "".join(letters), used, groups


def atoms_of(smiles: str) -> tuple[str, ...]:
    """The elements of `ATOMS` in a SMILES of these pieces, read off its letters."""
    letters = smiles.upper()
    return tuple(name for name, mark in zip(ATOMS, ("N", "O", "S", "F", "CL", "BR"), strict=True) if mark in letters)


def _sign(smiles: str) -> str:
    return CHARGES[(smiles.count("+") > smiles.count("-")) + 2 * (smiles.count("+") < smiles.count("-"))]


def draw(rng: random.Random) -> Molecule | None:
    """A random molecule; None where a number in it would be above `MOST`, or it would be above `LONGEST`."""
    names = rng.choices(tuple(SCAFFOLDS), k=2 if rng.random() < _TWO_SCAFFOLDS else 1)
    scaffolds = [SCAFFOLDS[name] for name in names]
    parts = _parts(rng)
    pieces: list[Part] = []
    groups = [group for scaffold in scaffolds for group in scaffold.groups]
    second = ""
    if len(scaffolds) == 2:
        linker = rng.choice(LINKERS)
        renumbered = scaffolds[1]._replace(text=scaffolds[1].text.translate(_TO_SECOND))
        share = parts[: rng.randint(0, len(parts))]
        text, pieces, added = _fill(renumbered, "", share, rng)
        second, parts = linker.text + text, parts[len(pieces) :]
        groups += [*linker.groups, *added]
        pieces = [*pieces, linker]
    smiles, used, added = _fill(scaffolds[0], second, parts, rng)
    groups += added
    pieces = [*pieces, *used]
    mass = sum(x.mass for x in scaffolds) + sum(x.mass for x in pieces) - 2.016 * (len(scaffolds) - 1)  # two H a bond
    surface = sum(x.surface for x in scaffolds) + sum(x.surface for x in pieces)
    counts = tuple((group, groups.count(group)) for group in GROUPS if group in groups)
    rings = sum(scaffold.rings for scaffold in scaffolds)
    if rings > MOST or any(count > MOST for _, count in counts) or len(TOKENS.findall(smiles)) > LONGEST:
        return None
    facts = Facts(
        rings,
        sum(scaffold.aromatic for scaffold in scaffolds),
        counts,
        atoms_of(smiles),
        _sign(smiles),
        WEIGHTS[mass >= HEAVY_FROM],
        POLARITIES[surface >= POLAR_FROM - 1e-6],
    )
    return Molecule(smiles, tuple(names), facts)


def sample(bucket: Bucket, index: int, seed: int = 0, held_out: bool | None = None) -> Molecule:
    """The ``index``-th molecule of a split; a pure function of its arguments, without RDKit.

    Args:
        bucket: the split the molecule's hash must fall into.
        index: which molecule; distinct indices are independent draws.
        seed: another seed is another sequence of molecules.
        held_out: ``False`` for none on a held-out scaffold, ``True`` for those on one, ``None`` for any.
    """
    rng = random.Random(f"molecule/{bucket}/{seed}/{index}/{held_out}")
    return of_split(lambda: draw(rng), bucket, held_out)
