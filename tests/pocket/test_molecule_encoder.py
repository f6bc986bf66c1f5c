"""The pocket molecule encoder: its tokens, its tags, what it ships with, and that its features tell molecules apart."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, PreTrainedModel

from midstream import pocket
from midstream.media.molecules import load_molecule
from midstream.pocket.molecules import tags, tokenizer
from midstream.pocket.molecules.encoder_training import MASKED, tagged_batch
from midstream.pocket.molecules.world import CHARGES, GROUPS, Molecule, sample

pytest.importorskip("rdkit")


def _latent(smiles: str) -> Molecule:
    from midstream.pocket.molecules.truth import facts_of

    return Molecule(smiles, (), facts_of(smiles))


def test_tags_are_cut_as_the_tokenizer_cuts() -> None:
    cut = tokenizer.build()
    for index in range(100):
        molecule = sample("train", index)
        ids = cut(load_molecule(molecule.smiles), padding="max_length", max_length=tokenizer.LENGTH)["input_ids"]
        assert tags.tagged(molecule).ids.tolist() == ids and cut.unk_token_id not in ids
    assert cut.convert_ids_to_tokens(cut("C[C@@H]([NH3+])/C=C/CBr")["input_ids"]) == [
        "<s>", "C", "C", "(", "[NH3+]", ")", "C", "=", "C", "C", "Br", "</s>",
    ]  # fmt: skip
    assert cut("[Pt]C")["input_ids"][1] == cut.unk_token_id


def test_each_atom_is_tagged_with_its_group_and_its_ring() -> None:
    found = tags.tagged(_latent("COC(=O)c1ccc(CN)cc1"))  # canonical: methyl 4-(aminomethyl)benzoate
    tokens = [tokenizer.VOCABULARY[number] for number in found.ids]
    ester, amine = GROUPS.index("ester") + 1, GROUPS.index("amine") + 1
    named = {
        place: (token, *found.atoms[place].tolist())
        for place, token in enumerate(tokens)
        if found.atoms[place, 0] != tags.IGNORED
    }
    groups = [(token, group) for token, group, _ in named.values()]
    assert groups[:4] == [("C", 0), ("O", ester), ("C", ester), ("O", ester)]
    assert groups.count(("N", amine)) == 1 and sum(group > 0 for _, group in groups) == 4
    assert {(token, ring) for token, _, ring in named.values()} == {("C", 0), ("O", 0), ("N", 0), ("c", 2)}
    assert tags.tagged(_latent("C1CCNCC1")).atoms[1:4, 1].tolist() == [1, tags.IGNORED, 1]  # a ring, not aromatic
    assert found.whole.tolist()[:2] == [1, 1] and found.whole[-3] == CHARGES.index("none")


def test_a_batch_masks_a_quarter_and_tags_the_rest() -> None:
    batch = tagged_batch("validation", 2, 0, 64)
    again = tagged_batch("validation", 2, 0, 64)
    assert all(torch.equal(a, b) for a, b in zip(batch, again, strict=True))
    assert not torch.equal(batch.ids, tagged_batch("validation", 3, 0, 64).ids)
    hidden = batch.masked != tags.IGNORED
    assert not hidden[16:].any() and (batch.ids[hidden] == tokenizer.VOCABULARY.index(tokenizer.MASK)).all()
    assert (batch.masked[hidden] > tokenizer.VOCABULARY.index(tokenizer.MASK)).all()
    share = hidden[:16].sum() / (batch.ids[:16] > 3).sum()
    assert MASKED / 2 < share < MASKED * 2
    assert (batch.whole[:16] == tags.IGNORED).all() and (batch.whole[16:] != tags.IGNORED).all()
    assert (batch.whole[16:] < torch.tensor(tags.WHOLE_WIDTHS)).all()


@pytest.fixture(scope="module")
def shipped() -> PreTrainedModel:
    return AutoModel.from_pretrained(pocket.encoder_path("molecule")).eval()


@torch.no_grad()
def _features(model: PreTrainedModel, molecules: list[Molecule]) -> torch.Tensor:
    cut = AutoTokenizer.from_pretrained(pocket.encoder_path("molecule"))
    smiles = [load_molecule(molecule.smiles) for molecule in molecules]
    made = cut(smiles, padding="max_length", max_length=tokenizer.LENGTH, return_tensors="pt")
    return model(**made).last_hidden_state[:, 0].double()


def _readable(features: torch.Tensor, wanted: torch.Tensor) -> float:
    """How often a linear reading of the features, fitted on the first two thirds, is right about the last third."""
    cut = 2 * len(features) // 3
    known = torch.cat([features, torch.ones(len(features), 1, dtype=torch.double)], 1)
    targets = torch.nn.functional.one_hot(wanted[:cut]).double()
    weights = torch.linalg.solve(known[:cut].T @ known[:cut] + 0.3 * torch.eye(known.shape[1]), known[:cut].T @ targets)
    return (known[cut:] @ weights).argmax(1).eq(wanted[cut:]).double().mean().item()


def test_facts_can_be_read_off_the_shipped_encoder_and_not_off_a_random_one(shipped: PreTrainedModel) -> None:
    molecules = [sample("test", index) for index in range(600)]
    facts = torch.tensor([tags.whole_tags(molecule.facts) for molecule in molecules])
    torch.manual_seed(0)
    trained, random = (_features(m, molecules) for m in (shipped, AutoModel.from_config(shipped.config).eval()))
    aspects = [0, 1, *(2 + GROUPS.index(name) for name in ("acid", "amine", "amide", "ester")), -3, -2, -1]
    good = sum(_readable(trained, facts[:, aspect]) for aspect in aspects) / len(aspects)
    poor = sum(_readable(random, facts[:, aspect]) for aspect in aspects) / len(aspects)
    assert good > 0.93 and poor < good - 0.1
    assert _readable(trained, facts[:, 0].roll(1)) < 0.6  # control: the facts of the molecule before


def test_the_shipped_encoder_says_where_it_comes_from(shipped: PreTrainedModel) -> None:
    record = json.loads((pocket.encoder_path("molecule") / "provenance.json").read_text())
    assert record["command"].startswith("python -m midstream.pocket.pretrain molecule")
    assert {"seed", "versions", "machine", "minutes", "steps", "molecules", "metrics"} <= set(record)
    assert sum(parameter.numel() for parameter in shipped.parameters()) < 1_500_000
    assert shipped.config.max_position_embeddings == tokenizer.LENGTH
