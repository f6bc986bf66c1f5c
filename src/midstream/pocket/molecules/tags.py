"""What the pocket molecule encoder learns to tell: class ids of atoms and of whole molecules, all from RDKit.

Owns the tags. Knows nothing of language: a tag is a number.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from midstream.pocket.molecules import tokenizer
from midstream.pocket.molecules.truth import patterns
from midstream.pocket.molecules.world import ATOMS, CHARGES, GROUPS, MOST, POLARITIES, TOKENS, WEIGHTS, Facts, Molecule

IGNORED: Final = -100
ATOM_WIDTHS: Final = (len(GROUPS) + 1, 3)
"""Of an atom: the functional group it belongs to (0: none); in no ring, in a ring, in an aromatic one."""
WHOLE_WIDTHS: Final = (
    *(MOST + 1,) * (2 + len(GROUPS)),
    *(2,) * len(ATOMS),
    *(len(CHARGES), len(WEIGHTS), len(POLARITIES)),
)
"""Of a molecule: rings, aromatic rings, each group's count, each element present, charge, weight, polarity."""


class Tagged(NamedTuple):
    """One molecule: token ids ``[48]``, tags of atoms ``[48, 2]`` and of the whole ``[20]``."""

    ids: NDArray[np.int64]
    atoms: NDArray[np.int64]
    whole: NDArray[np.int64]


@cache
def _ids() -> dict[str, int]:
    return {token: number for number, token in enumerate(tokenizer.VOCABULARY)}


def whole_tags(facts: Facts) -> list[int]:
    """The facts as class ids, one for each of `WHOLE_WIDTHS`."""
    counts = [facts.rings, facts.aromatic, *(facts.count(group) for group in GROUPS)]
    present = [int(name in facts.atoms) for name in ATOMS]
    signs = (CHARGES.index(facts.charge), WEIGHTS.index(facts.weight), POLARITIES.index(facts.polarity))
    return [*(min(count, MOST) for count in counts), *present, *signs]


def _groups(molecule: Any) -> list[int]:
    """The group of each atom, by its index: of a match, only the heteroatoms and the carbons doubly bound to one."""
    found = [0] * molecule.GetNumAtoms()
    for number, name in enumerate(GROUPS, 1):
        for match in molecule.GetSubstructMatches(patterns()[name]):
            for index in match:
                atom = molecule.GetAtomWithIdx(index)
                bonds = (bond for bond in atom.GetBonds() if bond.GetBondTypeAsDouble() >= 2)
                if atom.GetAtomicNum() != 6 or any(bond.GetOtherAtom(atom).GetAtomicNum() != 6 for bond in bonds):
                    found[index] = number
    return found


def tagged(latent: Molecule) -> Tagged:
    """Tokens and tags of a pocket molecule, spelt canonically; what is beyond the length is cut."""
    from rdkit import Chem

    smiles = Chem.MolToSmiles(Chem.MolFromSmiles(latent.smiles))
    molecule = Chem.MolFromSmiles(smiles)
    tokens = TOKENS.findall(smiles)[: tokenizer.LENGTH - 2]
    known = _ids()
    ids = np.full(tokenizer.LENGTH, known[tokenizer.PAD], dtype=np.int64)
    words = (tokenizer.START, *tokens, tokenizer.END)
    ids[: len(words)] = [known.get(word, known[tokenizer.UNKNOWN]) for word in words]
    atoms = np.full((tokenizer.LENGTH, len(ATOM_WIDTHS)), IGNORED, dtype=np.int64)
    groups = _groups(molecule)
    places = [place for place, token in enumerate(tokens, 1) if token[0] == "[" or token[0].isalpha()]
    for place, atom in zip(places, molecule.GetAtoms(), strict=False):  # RDKit numbers atoms as they are written
        atoms[place] = groups[atom.GetIdx()], atom.IsInRing() + atom.GetIsAromatic()
    return Tagged(ids, atoms, np.array(whole_tags(latent.facts), dtype=np.int64))
