"""Encoders of molecules: padding is nothing, a batch is its single molecules, and SMILES go through a whole model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import cases
from midstream import MidstreamForCausalLM, Modality, deep_insert
from midstream.encoders import FeatureSpec, FrozenEncoder
from midstream.errors import InputError
from midstream.pocket.molecules import tokenizer as smiles_tokenizer
from midstream.preparing import medium_of, open_preparer
from midstream.preparing.molecule import MoleculePreparer
from midstream.testing import tiny_lm

pytest.importorskip("rdkit")

SMILES = ("CCO", "CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)[O-]", "Cn1cnc2c1c(=O)n(C)c(=O)n2C")
LENGTH, WIDTH, BLOCKS = 32, 16, 3
POSITIONS = 40
FAMILIES: dict[str, dict[str, Any]] = {
    "roberta": {"type_vocab_size": 1},  # ChemBERTa's kind
    "bert": {},
    "esm": {"position_embedding_type": "rotary", "token_dropout": True, "mask_token_id": 4},
    "distilbert": {"dim": WIDTH, "n_layers": BLOCKS, "n_heads": 2, "hidden_dim": 32},  # the pocket encoder's
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 8, "pad_token_id": 0},
}


def _tiny(family: str) -> PreTrainedModel:
    sizes = {} if family == "distilbert" else {"hidden_size": WIDTH, "num_hidden_layers": BLOCKS}
    sizes |= {} if family == "distilbert" else {"num_attention_heads": 2, "intermediate_size": 32}
    words = {"vocab_size": len(smiles_tokenizer.VOCABULARY), "max_position_embeddings": POSITIONS, "pad_token_id": 0}
    with torch.random.fork_rng():
        torch.manual_seed(2)
        config = CONFIG_MAPPING[family](**words | sizes | FAMILIES[family])
        return cases.sharpened(AutoModel.from_config(config).eval())


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp(request.param)
    _tiny(request.param).save_pretrained(path)
    smiles_tokenizer.build().save_pretrained(path)
    return str(path)


def _prepared(folder: str, model: PreTrainedModel, **settings: Any) -> MoleculePreparer:
    assert medium_of("drug", model) == "molecule"
    found = open_preparer("molecule", folder, model, settings)
    assert isinstance(found, MoleculePreparer)
    return found


@torch.no_grad()
def test_padding_is_zeros_and_changes_nothing(folder: str) -> None:
    model = AutoModel.from_pretrained(folder).eval()
    encoder = FrozenEncoder(model, FeatureSpec(layers=(-2, -1), tokens="all"))
    made = _prepared(folder, model, length=LENGTH)(SMILES)
    features = encoder(**made)
    assert features.shape == (len(SMILES), 2, LENGTH, WIDTH) and encoder.input_name == "input_ids"
    for row, smiles in enumerate(SMILES):
        bare = smiles_tokenizer.build()(MoleculePreparer.load(None, smiles), return_tensors="pt")  # type: ignore[arg-type]
        count = bare["input_ids"].shape[1]
        alone = model(**bare, output_hidden_states=True)
        torch.testing.assert_close(features[row, 1, :count], alone.last_hidden_state[0], rtol=1e-4, atol=2e-5)
        torch.testing.assert_close(features[row, 0, :count], alone.hidden_states[-2][0], rtol=1e-4, atol=2e-5)
        assert (features[row, :, count:] == 0).all() and (features[row, :, :count] != 0).any(-1).all()
    unmasked = encoder(input_ids=made["input_ids"], attention_mask=torch.ones_like(made["attention_mask"]))
    assert not torch.allclose(unmasked[0, 1, :3], features[0, 1, :3], rtol=1e-4, atol=2e-5)  # control: without a mask


@torch.no_grad()
def test_a_batch_is_its_single_molecules_in_their_order(folder: str) -> None:
    model = AutoModel.from_pretrained(folder).eval()
    encoder, prepare = FrozenEncoder(model, FeatureSpec()), _prepared(folder, model, length=LENGTH)
    together = encoder(**prepare(SMILES))
    apart = torch.cat([encoder(**prepare([smiles])) for smiles in SMILES])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=2e-5)
    assert not torch.allclose(together, apart.roll(1, 0), rtol=1e-4, atol=2e-5)  # control: another order
    assert torch.equal(encoder(**prepare(["OCC"])), apart[:1])  # however it is spelt


def test_a_length_the_encoder_has_no_positions_for_is_refused(folder: str) -> None:
    model = AutoModel.from_pretrained(folder).eval()
    longest = POSITIONS - (1 if model.config.model_type in ("roberta", "esm") else 0)
    prepare = _prepared(folder, model)
    assert prepare.settings == {"length": longest}
    with torch.no_grad():
        assert FrozenEncoder(model, FeatureSpec())(**prepare(["C" * 60])).shape[2] == longest
    for length in (longest + 1, 2, "many"):
        with pytest.raises(InputError, match=f"prepare.length is {length}; .* reads 3 to {longest} tokens"):
            _prepared(folder, model, length=length)


def test_what_is_cut_is_said(folder: str, caplog: pytest.LogCaptureFixture) -> None:
    prepare = _prepared(folder, AutoModel.from_pretrained(folder), length=8)
    with caplog.at_level(logging.WARNING, "midstream"):
        prepare(["CCCCCC"])
        assert not caplog.records
        made = prepare(["CCCCCCC"])
    assert "has 9 tokens and is cut to 8" in caplog.text
    assert made["input_ids"].shape == (1, 8) and made["input_ids"][0, -1] == 3  # the end mark is kept


@torch.no_grad()
def test_what_reaches_the_lm_is_the_molecule_however_it_is_spelt(folder: str) -> None:
    model = MidstreamForCausalLM.from_parts(
        cases.sharpened(tiny_lm("llama")), drug=Modality(folder, "linear", deep_insert(2), prepare={"length": LENGTH})
    ).eval()
    encoder = model.modalities["drug"].encoder.model
    prepare = _prepared(folder, encoder, length=LENGTH)

    def tokens(smiles: str) -> torch.Tensor:
        media = {key: value.unsqueeze(1) for key, value in prepare([smiles]).items()}
        return model.modalities["drug"].tokens({"slots": torch.zeros(1, 1, dtype=torch.long), **media})

    first, same, other = (tokens(smiles) for smiles in ("CCO", "OCC", "CCN"))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_a_tokenizer_without_padding_is_refused(tmp_path: Path) -> None:
    _tiny("bert").save_pretrained(tmp_path)
    tokenizer = smiles_tokenizer.build()
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="no padding token"):
        _prepared(str(tmp_path), AutoModel.from_pretrained(tmp_path))
