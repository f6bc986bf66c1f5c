"""The shipped model of molecules answers about molecules it has not seen, and only from the molecule."""

from __future__ import annotations

import pytest

from midstream import MidstreamForCausalLM, MidstreamProcessor
from midstream.pocket import model_path
from midstream.pocket.molecules.data import example
from midstream.tasks.evaluation import evaluate

pytest.importorskip("rdkit")


@pytest.mark.parametrize("split", ["test", "held_out"])
def test_the_shipped_model_reads_molecules(split: str) -> None:
    folder = str(model_path("pocket-molecule"))
    model, processor = MidstreamForCausalLM.from_pretrained(folder), MidstreamProcessor.from_pretrained(folder)
    rows = [example(split, index, 5, 2, False) for index in range(60)]  # type: ignore[arg-type]
    found = evaluate(model, processor, rows, controls=split == "test")
    assert found["n"] > 100 and found["accuracy"] > 0.8
    if split == "test":  # the controls: in words, no molecule, another molecule, a connector that has learnt nothing
        assert found["ceiling"] > 0.95
        assert max(found["blind"], found["shuffled"], found["untrained"]) < 0.62


def test_however_a_molecule_is_spelt_the_answer_is_the_same() -> None:
    folder = str(model_path("pocket-molecule"))
    processor = MidstreamProcessor.from_pretrained(folder)

    def read(smiles: str) -> list[int]:
        parts = [{"type": "molecule", "molecule": smiles}, {"type": "text", "text": "is it heavy or light?"}]
        return processor.apply_chat_template([{"role": "user", "content": parts}])["molecule_input_ids"].tolist()

    assert read("OC(=O)c1ccccc1OC(C)=O") == read("CC(=O)Oc1ccccc1C(=O)O") != read("CCO")
