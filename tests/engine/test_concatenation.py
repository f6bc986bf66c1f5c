"""A sense that enters at layer 0 and stays is ordinary concatenation with the prompt's embeddings, for any LM."""

import pytest
import torch
from torch import Tensor

import cases
from midstream.modeling import MidstreamForCausalLM
from midstream.testing import LM_FAMILIES

ROWS = [row for row in cases.ROWS if row.slots]


@torch.no_grad()
def _concatenated(family: str, made: MidstreamForCausalLM, row: cases.Row) -> Tensor:
    """What the plain LM gives for embeddings and tokens put one after the other by hand."""
    lm, image = cases.plain_lm(family), made.modalities["image"]
    embedded = lm.get_input_embeddings()(torch.tensor(row.ids))
    pieces, text, done = [], [], 0
    for slot, column in enumerate(row.slots["image"]):
        tokens = image.connector(image.encoder(pixel_values=row.picture("image", slot)[None]))[0, 0]
        pieces += [embedded[done:column], tokens]
        text += [True] * (column - done) + [False] * len(tokens)
        done = column
    pieces.append(embedded[done:])
    text += [True] * (len(row.ids) - done)
    return lm(inputs_embeds=torch.cat(pieces)[None]).logits[0, torch.tensor(text)]


@pytest.mark.parametrize("family", LM_FAMILIES)
def test_entering_at_layer_0_is_concatenation(family: str) -> None:
    made = cases.model(family, "prepend")
    found = cases.text_logits(made, cases.collate(ROWS, ["image"]))
    assert cases.same(found, [_concatenated(family, made, row) for row in ROWS])


@pytest.mark.parametrize("family", LM_FAMILIES)
def test_control_entering_at_the_middle_is_not(family: str) -> None:
    made = cases.model(family, "deep_insert_middle")
    found = cases.text_logits(made, cases.collate(ROWS, ["image"]))
    assert not cases.same(found, [_concatenated(family, made, row) for row in ROWS])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", LM_FAMILIES)
def test_embeddings_in_place_of_ids_change_nothing(family: str, side: str) -> None:
    made = cases.model(family, "two_senses")
    inputs = cases.collate(cases.ROWS, cases.senses(made), side)
    expected = cases.text_logits(made, inputs)
    inputs["inputs_embeds"] = made.get_input_embeddings()(inputs.pop("input_ids"))
    assert cases.same(cases.text_logits(made, inputs), expected)
