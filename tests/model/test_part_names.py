"""`random:` and the pocket names: the right parts, fresh weights where they are asked for, the same ones every time."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from midstream import MidstreamForCausalLM, MidstreamProcessor, Modality, deep_insert, pocket
from midstream.encoders import FeatureSpec, load_encoder
from midstream.errors import InputError
from midstream.modality import load_lm
from midstream.part_names import bare, encoder_source, is_random, lm_source, settled


def test_names_stand_for_what_ships() -> None:
    assert lm_source("pocket") == lm_source("random:pocket") == str(pocket.lm_path())
    assert lm_source("facebook/opt-2.7b") == bare("random:facebook/opt-2.7b") == "facebook/opt-2.7b"
    assert encoder_source("pocket", "audio") == str(pocket.encoder_path("audio"))
    assert [name for name in pocket.lm_names() if Path(lm_source(name)).is_dir()] == pocket.lm_names()
    assert is_random("random:pocket") and not is_random("pocket")
    with pytest.raises(InputError, match=r"no pocket encoder reads 'smell'; they read image, .*`medium` of nose"):
        encoder_source("random:pocket", "smell", "nose")


def test_a_folder_becomes_absolute_behind_its_prefix_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lm").mkdir()
    monkeypatch.chdir(tmp_path)
    assert settled("random:lm") == f"random:{tmp_path / 'lm'}" and settled("lm") == str(tmp_path / "lm")
    assert settled("random:facebook/opt-2.7b") == "random:facebook/opt-2.7b"


def test_random_weights_are_not_the_trained_ones_and_always_the_same() -> None:
    state = torch.random.get_rng_state()
    trained, first, again = (load_lm(name).state_dict() for name in ("pocket", "random:pocket", "random:pocket"))
    assert torch.equal(state, torch.random.get_rng_state())  # nobody else's draws change
    assert trained.keys() == first.keys() and all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], trained["model.embed_tokens.weight"])
    source, pixels = encoder_source("pocket", "image"), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = [
            load_encoder(source, FeatureSpec(), fresh_weights=fresh)(pixel_values=pixels)
            for fresh in (True, True, False)
        ]
    assert torch.equal(features[0], features[1]) and features[0].shape == features[2].shape
    assert not torch.allclose(features[0], features[2])


def test_a_saved_control_finds_its_random_parts_again(tmp_path: Path) -> None:
    image = Modality("random:pocket", "linear", deep_insert(4), medium="image")
    model = MidstreamForCausalLM.from_parts("random:pocket", image=image)
    assert model.generation_config.eos_token_id == load_lm("pocket").generation_config.eos_token_id
    processor = MidstreamProcessor.from_model(model)
    assert processor.tokenizer.get_vocab() == AutoTokenizer.from_pretrained(lm_source("pocket")).get_vocab()
    model.save_pretrained(tmp_path / "saved")
    again = MidstreamForCausalLM.from_pretrained(tmp_path / "saved")
    inputs = {"input_ids": torch.tensor([[5, 6, 7]]), "image": {"tokens": torch.ones(1, 1, 1, 2, 128)}}
    inputs["image"]["slots"] = torch.tensor([[0]])
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, again(**inputs).logits)
    with pytest.raises(InputError, match="language model"):  # the control: the trained LM is another one
        MidstreamForCausalLM.from_pretrained(tmp_path / "saved", lm="pocket")
