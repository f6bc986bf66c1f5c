"""Pocket molecules as training and test rows: conversations about a SMILES in the messages format.

Owns which molecules and questions a row is made of. Rows are as in `midstream.pocket.data`, with a part
``{"type": "molecule", "molecule": "CC(=O)Oc1ccccc1C(=O)O"}`` in front of the first question. The truth of the answers
is what RDKit computes from that SMILES, so making a row needs the optional extra ``molecules``.
"""

from __future__ import annotations

import random
from typing import Any, Final

from midstream.media.molecules import load_molecule
from midstream.pocket.data import Row, Split
from midstream.pocket.molecules import language
from midstream.pocket.molecules.truth import facts_of
from midstream.pocket.molecules.world import Molecule, sample
from midstream.pocket.world import Bucket

_SPLITS: Final[dict[str, tuple[Bucket, bool]]] = {
    "train": ("train", False),
    "validation": ("validation", False),
    "test": ("test", False),
    "held_out": ("test", True),
}


def molecule_of(split: Split, index: int, seed: int = 0) -> Molecule:
    """The latent molecule that row ``index`` of a split is about.

    Raises:
        ValueError: an unknown split.
    """
    if split not in _SPLITS:
        raise ValueError(f"unknown split {split!r}; known: {', '.join(_SPLITS)}")
    bucket, held_out = _SPLITS[split]
    return sample(bucket, index, seed, held_out=held_out)


def example(
    split: Split, index: int, seed: int = 0, questions_per_scene: int = 4, include_describe: bool = True
) -> Row:
    """Row ``index`` of a split; a pure function of its arguments.

    Args:
        split: ``train``, ``validation``, ``test`` (none has a held-out scaffold) or ``held_out`` (all have one).
        index: which row.
        seed: another seed gives other molecules and questions.
        questions_per_scene: question turns.
        include_describe: one more turn, whose answer is the full canonical description.

    Raises:
        ValueError: an unknown split.
        InputError: RDKit is not installed.
    """
    smiles = load_molecule(molecule_of(split, index, seed).smiles)
    facts = facts_of(smiles)
    rng = random.Random(f"molecule row/{split}/{seed}/{index}")
    asked = language.ask_many(facts, rng, questions_per_scene)
    if include_describe:
        asked.insert(rng.randint(0, len(asked)), language.ask_describe(facts, rng))
    messages: list[dict[str, Any]] = []
    for question in asked:
        messages.append({"role": "user", "content": [{"type": "text", "text": question.text}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": question.answer}]})
    messages[0]["content"].insert(0, {"type": "molecule", "molecule": smiles})
    return {
        "messages": messages,
        "types": [question.kind for question in asked],
        "id": f"molecule-{split}-{seed}-{index}",
        "description": language.describe(facts, rng),
    }
