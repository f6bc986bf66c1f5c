"""What a model of pocket molecules says about molecules that nobody here made: drugs, scents, what a kitchen holds.

    python benchmarks/real_molecules.py pocket-molecule

The truth is RDKit's, as for pocket molecules; most of these have pieces that the pocket world has not. All fit into the
tokens that the pocket encoder reads, and none has more than four of something.
"""

import json
import random
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from midstream.cli.console import load
from midstream.media.molecules import load_molecule
from midstream.pocket.molecules import language
from midstream.pocket.molecules.truth import facts_of
from midstream.pocket.rows import Row, row_of
from midstream.tasks.evaluation import evaluate

MOLECULES = {
    "acetate": "CC(=O)[O-]",
    "acetone": "CC(C)=O",
    "acetonitrile": "CC#N",
    "acetylcholine": "CC(=O)OCC[N+](C)(C)C",
    "adrenaline": "CNCC(O)c1ccc(O)c(O)c1",
    "amphetamine": "CC(N)Cc1ccccc1",
    "aniline": "Nc1ccccc1",
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "atenolol": "CC(C)NCC(O)COc1ccc(CC(N)=O)cc1",
    "benzene": "c1ccccc1",
    "benzocaine": "CCOC(=O)c1ccc(N)cc1",
    "benzoic acid": "O=C(O)c1ccccc1",
    "bupropion": "CC(NC(C)(C)C)C(=O)c1cccc(Cl)c1",
    "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "camphor": "CC1(C)C2CCC1(C)C(=O)C2",
    "caprylate": "CCCCCCCC(=O)[O-]",
    "choline": "C[N+](C)(C)CCO",
    "citric acid": "OC(=O)CC(O)(C(=O)O)CC(=O)O",
    "coumarin": "O=c1ccc2ccccc2o1",
    "DEET": "CCN(CC)C(=O)c1cccc(C)c1",
    "diazepam": "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21",
    "diclofenac": "O=C(O)Cc1ccccc1Nc1c(Cl)cccc1Cl",
    "diethyl ether": "CCOCC",
    "dopamine": "NCCc1ccc(O)c(O)c1",
    "ephedrine": "CNC(C)C(O)c1ccccc1",
    "ethanol": "CCO",
    "fluoxetine": "CNCCC(c1ccccc1)Oc1ccc(C(F)(F)F)cc1",
    "glutamate": "[NH3+]C(CCC(=O)[O-])C(=O)[O-]",
    "glycine": "[NH3+]CC(=O)[O-]",
    "haloperidol": "O=C(CCCN1CCC(O)(c2ccc(Cl)cc2)CC1)c1ccc(F)cc1",
    "halothane": "FC(F)(F)C(Cl)Br",
    "histamine": "NCCc1c[nH]cn1",
    "ibuprofen": "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "isoniazid": "NNC(=O)c1ccncc1",
    "ketamine": "CNC1(c2ccccc2Cl)CCCCC1=O",
    "ketoprofen": "CC(C(=O)O)c1cccc(C(=O)c2ccccc2)c1",
    "lactic acid": "CC(O)C(=O)O",
    "lidocaine": "CCN(CC)CC(=O)Nc1c(C)cccc1C",
    "menthol": "CC1CCC(C(C)C)C(O)C1",
    "metformin": "CN(C)C(=N)NC(=N)N",
    "metoprolol": "COCCc1ccc(OCC(O)CNC(C)C)cc1",
    "naphthalene": "c1ccc2ccccc2c1",
    "naproxen": "COc1ccc2cc(ccc2c1)C(C)C(=O)O",
    "nicotinamide": "NC(=O)c1cccnc1",
    "nicotine": "CN1CCCC1c1cccnc1",
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "phenol": "Oc1ccccc1",
    "phenylalanine": "NC(Cc1ccccc1)C(=O)O",
    "phenytoin": "O=C1NC(=O)C(c2ccccc2)(c2ccccc2)N1",
    "procaine": "CCN(CC)CCOC(=O)c1ccc(N)cc1",
    "propranolol": "CC(C)NCC(O)COc1cccc2ccccc12",
    "salicylic acid": "O=C(O)c1ccccc1O",
    "serotonin": "NCCc1c[nH]c2ccc(O)cc12",
    "styrene": "C=Cc1ccccc1",
    "sulfamethoxazole": "Cc1cc(NS(=O)(=O)c2ccc(N)cc2)no1",
    "tetraethylammonium": "CC[N+](CC)(CC)CC",
    "thymol": "Cc1ccc(C(C)C)c(O)c1",
    "tryptophan": "NC(Cc1c[nH]c2ccccc12)C(=O)O",
    "vanillin": "COc1cc(C=O)ccc1O",
    "warfarin": "CC(=O)CC(c1ccccc1)c1c(O)c2ccccc2oc1=O",
}


def row_about(name: str, questions: int) -> Row:
    """A row about one of `MOLECULES`."""
    smiles = load_molecule(MOLECULES[name])
    part = {"type": "molecule", "molecule": smiles}
    return row_of(facts_of(smiles), language, lambda *_: [part], random.Random(name), name, questions, False)


def main(
    model: Annotated[str, typer.Argument(help="A shipped model, or the folder of a run.")] = "pocket-molecule",
    questions: Annotated[int, typer.Option(help="Questions about each molecule.")] = 6,
    out: Annotated[
        Path | None, typer.Option(help="The result.", show_default="benchmarks/real_molecules_...json")
    ] = None,
) -> None:
    """Measure, print, and write the result."""
    loaded, processor = load(model)
    rows = [row_about(name, questions) for name in MOLECULES]
    found: dict[str, Any] = evaluate(loaded, processor, rows, detailed=True, evaluated=model)
    scores, asked = found.pop("scores")["accuracy"], found.pop("asked")
    by_molecule: dict[str, list[float]] = {name: [] for name in MOLECULES}
    for score, (row, _) in zip(scores, asked, strict=True):
        by_molecule[rows[row]["id"]].append(score)
    found["molecules"] = {name: f"{sum(each):g}/{len(each)}" for name, each in by_molecule.items()}
    hardware = "cuda" if torch.cuda.is_available() else f"{torch.get_num_threads()}core_cpu"
    out = out or Path(__file__).parent / f"real_molecules_{hardware}_{time.strftime('%Y-%m-%d')}.json"
    out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps({key: found[key] for key in ("accuracy", "ceiling", "blind", "shuffled", "untrained", "n")}))
    print(json.dumps(found["by_type"]))


if __name__ == "__main__":
    typer.run(main)
