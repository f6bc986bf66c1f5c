"""Pocket molecules as training and test rows: the rows of `midstream.pocket.rows`, about a SMILES.

Owns the molecule part: ``{"type": "molecule", "molecule": "CC(=O)Oc1ccccc1C(=O)O"}``. The truth of the answers is what
RDKit computes from that SMILES, so making a row needs the optional extra ``molecules``.
"""

from __future__ import annotations

import random

from midstream.media.molecules import load_molecule
from midstream.pocket.molecules import language
from midstream.pocket.molecules.truth import facts_of
from midstream.pocket.molecules.world import sample
from midstream.pocket.rows import Row, Split, drawn, row_of


def example(
    split: Split, index: int, seed: int = 0, questions_per_scene: int = 4, include_describe: bool = True
) -> Row:
    """Row ``index`` of a split; see `midstream.pocket.rows`. Held out are scaffolds.

    Raises:
        InputError: RDKit is not installed.
    """
    rng, name = random.Random(f"molecule row/{split}/{seed}/{index}"), f"molecule-{split}-{seed}-{index}"
    smiles = load_molecule(drawn(sample, split, index, seed).smiles)
    part = {"type": "molecule", "molecule": smiles}
    return row_of(facts_of(smiles), language, lambda *_: [part], rng, name, questions_per_scene, include_describe)
