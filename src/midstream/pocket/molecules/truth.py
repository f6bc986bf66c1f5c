"""The facts about any molecule, computed by RDKit from its SMILES.

Owns what counts as which functional group (one SMARTS pattern each). Needs the optional extra ``molecules``; nothing is
imported before a molecule is looked at.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from midstream.errors import InputError
from midstream.pocket.molecules.world import (
    ATOMS,
    CHARGES,
    GROUPS,
    HEAVY_FROM,
    POLAR_FROM,
    POLARITIES,
    WEIGHTS,
    Facts,
)

PATTERNS: Final = {
    "alcohol": "[OX2H][CX4]",  # on a saturated carbon
    "phenol": "[OX2H]c",  # on an aromatic carbon
    "acid": "[CX3](=O)[OX2H,OX1-]",  # carboxylic, with or without its proton
    # A basic nitrogen, free or protonated: not one next to C=O, C=N, C=S, S or P (amide, amidine, sulfonamide).
    "amine": "[$([NX3;!$(N[C,S,P]=[O,N,S]);!$(N=*);!$(N#*);!$(N[!#6;!#1])]),$([NX4+;!H0])]",
    "amide": "[CX3](=O)[NX3]",
    "ester": "[CX3](=O)[OX2][#6]",
    "ether": "[OX2;!$(O[CX3]=[O,N,S])]([#6])[#6]",  # also in a ring; not the oxygen of furan
    "ketone": "[#6][CX3](=O)[#6]",
    "nitrile": "[CX2]#[NX1]",
}
_NUMBERS: Final = (7, 8, 16, 9, 17, 35)  # of the elements of ATOMS


@cache
def patterns() -> dict[str, Any]:
    """`PATTERNS` compiled, one RDKit molecule each."""
    from rdkit import Chem

    return {name: Chem.MolFromSmarts(PATTERNS[name]) for name in GROUPS}


def facts_of(smiles: str) -> Facts:
    """The facts RDKit finds in a molecule.

    Args:
        smiles: any SMILES that RDKit can read; `midstream.media.molecules.load_molecule` tells what it refuses.

    Raises:
        InputError: not a molecule, or RDKit is not installed.
    """
    from midstream.media.molecules import rdkit

    chem = rdkit()
    from rdkit.Chem.Descriptors import MolWt
    from rdkit.Chem.rdMolDescriptors import CalcNumAromaticRings, CalcTPSA

    molecule = chem.MolFromSmiles(smiles)
    if molecule is None:
        raise InputError(f"{smiles[:80]!r} is not a SMILES that RDKit can read; give one such as 'CCO'")
    counts = {name: len(molecule.GetSubstructMatches(pattern)) for name, pattern in patterns().items()}
    present = {atom.GetAtomicNum() for atom in molecule.GetAtoms()}
    charge = chem.GetFormalCharge(molecule)
    return Facts(
        molecule.GetRingInfo().NumRings(),
        CalcNumAromaticRings(molecule),
        tuple((name, count) for name, count in counts.items() if count),
        tuple(name for name, number in zip(ATOMS, _NUMBERS, strict=True) if number in present),
        CHARGES[(charge > 0) + 2 * (charge < 0)],
        WEIGHTS[MolWt(molecule) >= HEAVY_FROM],
        POLARITIES[CalcTPSA(molecule) >= POLAR_FROM - 1e-6],
    )
