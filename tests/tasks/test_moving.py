"""A connector measured at another layer than it was trained for: as if it had been built there, and then put back."""

import pytest
import torch

import cases
from midstream import MidstreamForCausalLM, Modality, deep_insert, ep_alm
from midstream.errors import InputError
from midstream.tasks.moving import entering_at
from midstream.testing import LM_FAMILIES


def made(family: str, layer: int) -> MidstreamForCausalLM:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MidstreamForCausalLM.from_parts(
            cases.fresh_lm(family), image=Modality(cases.encoder("vit"), "linear", deep_insert(layer))
        )


@pytest.mark.parametrize("family", LM_FAMILIES)
def test_moved_is_as_built_there_and_comes_back(family: str) -> None:
    model, inputs = made(family, 2), cases.collate(cases.ROWS, ["image"])
    there = made(family, 1)
    with torch.no_grad():
        before, expected = model(**inputs).logits, there(**inputs).logits
        with entering_at(model, 1) as moved:
            found = moved(**inputs).logits
        after = model(**inputs).logits
    assert torch.equal(found, expected) and torch.equal(before, after)
    assert not torch.equal(before, found)  # the control: the layer matters
    assert model.config.modalities["image"]["schedule"]["enter"] == 2


def test_what_cannot_be_moved_says_so_and_works_on() -> None:
    image = Modality(cases.encoder("vit"), "linear", ep_alm(1, 2, 2), {"layers": [1, 2], "tokens": "cls"})
    model = MidstreamForCausalLM.from_parts(cases.fresh_lm("llama"), image=image)
    inputs = cases.collate(cases.ROWS, ["image"])
    with torch.no_grad():
        before = model(**inputs).logits
        with pytest.raises(InputError, match="image does more than enter once"), entering_at(model, 0):
            pass
        with pytest.raises(InputError, match="layer"), entering_at(made("llama", 1), 99):
            pass
        assert torch.equal(before, model(**inputs).logits)
