"""SMILES to canonical SMILES, by RDKit (the optional extra ``molecules``). Knows no tokenizer and no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from midstream.errors import InputError

MAX_SMILES_CHARACTERS: Final = 1000
"""Longest SMILES that is read. Drugs have about 50 characters; up to here RDKit needs well under a second."""

_ALLOWED: Final = frozenset("ABCDEFGHIKLMNOPRSTUVWXYZabcdefghiklmnoprstuvy0123456789()[]=#$:/\\.@+-%*")


def load_molecule(source: Any) -> str:
    """One molecule as RDKit's canonical SMILES: every way of writing a molecule gives the same text.

    Args:
        source: a SMILES string, or ``{"smiles": string}``. White space around it is taken off.

    Returns:
        the canonical SMILES, with stereochemistry, isotopes and charges as given and without atom-map numbers.

    Raises:
        InputError: not a string, empty, longer than `MAX_SMILES_CHARACTERS`, not a SMILES, impossible valences,
            several fragments (salts, mixtures), unknown atoms (``*``), or RDKit is not installed.
    """
    smiles = _checked(source)
    chem = rdkit()
    from rdkit.rdBase import BlockLogs

    with BlockLogs():  # the reason is told below, once, in one sentence
        molecule = chem.MolFromSmiles(smiles)
        if molecule is None:
            raise InputError(_reason(smiles, chem))
        for atom in molecule.GetAtoms():
            atom.SetAtomMapNum(0)  # a number for the chemist's eye; it would be part of the text
        return str(chem.MolToSmiles(molecule))


def _reason(smiles: str, chem: Any) -> str:
    """Why RDKit refuses it: the grammar, or the chemistry."""
    raw = chem.MolFromSmiles(smiles, sanitize=False)
    problems = chem.DetectChemistryProblems(raw) if raw is not None else ()
    if not problems:
        return f"{_short(smiles)} is not a SMILES that can be read; give one such as 'CC(=O)O'"
    said = " ".join(problems[0].Message().split()).rstrip(".")[:160]
    return f"{_short(smiles)} is no possible molecule ({said}); correct the SMILES"


def rdkit() -> Any:
    """RDKit's module ``Chem``.

    Raises:
        InputError: RDKit is not installed.
    """
    try:
        from rdkit import Chem
    except ImportError:
        raise InputError(
            "molecules are read with RDKit, which is not installed; run: pip install 'midstream[molecules]'"
        ) from None
    return Chem


def _short(smiles: str) -> str:
    return repr(smiles if len(smiles) <= 60 else smiles[:57] + "...")


def _checked(source: Any) -> str:
    """The string in `source`, when nothing speaks against it that can be seen without chemistry."""
    if isinstance(source, Mapping):
        if "smiles" not in source:
            found = ", ".join(sorted(map(str, source))[:5]) or "nothing"
            raise InputError(f'a molecule given as a mapping needs the key "smiles"; this one has {found}')
        source = source["smiles"]
    if not isinstance(source, str):
        said = f" ({source})" if isinstance(source, int | float) else ""
        raise InputError(
            f'a molecule must be a SMILES string or {{"smiles": string}}, not {type(source).__name__}{said}'
        )
    smiles = source.strip()
    if not smiles:
        raise InputError("the SMILES is empty; give one such as 'CC(=O)O'")
    if len(smiles) > MAX_SMILES_CHARACTERS:
        raise InputError(
            f"the SMILES has {len(smiles):,} characters, more than the {MAX_SMILES_CHARACTERS:,} that are read; "
            "give a smaller molecule"
        )
    strange = next((letter for letter in smiles if letter not in _ALLOWED), None)
    if strange is not None:
        raise InputError(f"{_short(smiles)} has {strange!r}, which no SMILES has; give one molecule such as 'CC(=O)O'")
    if "*" in smiles:
        raise InputError(f"{_short(smiles)} has an unknown atom (*); give a molecule whose atoms are all named")
    if "." in smiles:
        raise InputError(
            f"{_short(smiles)} has several fragments (a dot); give one molecule, such as a salt's larger part"
        )
    return smiles
