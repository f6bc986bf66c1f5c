"""Logits are made where something is learnt, and nobody can tell from the loss."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

import cases
from midstream.learnt_columns import logits_only_at, loss, targets
from midstream.modeling import MidstreamForCausalLM, question_ends
from midstream.processing import IGNORED
from midstream.testing import LM_FAMILIES


def batch(made: MidstreamForCausalLM) -> dict[str, Any]:
    """The last columns of each row, and one in the middle, are learnt."""
    inputs = cases.collate(cases.ROWS, cases.senses(made), "right")
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, IGNORED)
    labels[:, :2] = labels[:, 3] = IGNORED
    return inputs | {"labels": labels}


def gradients(made: MidstreamForCausalLM, value: Tensor) -> dict[str, Tensor]:
    made.zero_grad()
    value.backward()
    return {name: parameter.grad.clone() for name, parameter in made.trained_tensors().items()}


@pytest.mark.parametrize("family", LM_FAMILIES)
def test_loss_and_gradients_are_those_of_the_lm(family: str) -> None:
    made = cases.build(cases.fresh_lm(family), "deep_insert_middle")
    inputs = batch(made)
    whole = made(**inputs)
    expected = gradients(made, whole.loss)
    labels = inputs.pop("labels")
    with logits_only_at(made.lm, targets(labels) != IGNORED):
        output = made(**inputs, use_cache=False)
    assert output.logits.shape[:2] == (1, int((labels[:, 1:] != IGNORED).sum()))
    found = loss(output, labels)
    torch.testing.assert_close(found, whole.loss)
    for name, gradient in gradients(made, found).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(loss(whole, labels), whole.loss)  # where a head cannot be hooked
    torch.testing.assert_close(loss(whole, labels, 7) * 7, loss(whole, labels) * (labels[:, 1:] != IGNORED).sum())
    assert not made.lm.get_output_embeddings()._forward_pre_hooks


def test_the_control_other_columns_give_another_loss() -> None:
    made = cases.build(cases.fresh_lm("llama"), "deep_insert_middle")
    inputs = batch(made)
    labels = inputs.pop("labels")
    with logits_only_at(made.lm, (targets(labels) != IGNORED).roll(1, 0)):
        shifted = loss(made(**inputs, use_cache=False), labels.roll(1, 0))
    with logits_only_at(made.lm, targets(labels) != IGNORED):
        right = loss(made(**inputs, use_cache=False), labels)
    assert abs(shifted - right) > 1e-3


@torch.no_grad()
def test_other_threads_get_all_their_logits() -> None:
    made = cases.build(cases.fresh_lm("llama"), "deep_insert_middle")
    inputs = batch(made)
    labels = inputs.pop("labels")
    with ThreadPoolExecutor(1) as pool, logits_only_at(made.lm, targets(labels) != IGNORED):
        assert pool.submit(torch.no_grad()(made), **inputs).result().logits.shape[:2] == labels.shape


def test_the_question_ends_before_the_first_label() -> None:
    labels = torch.tensor([[IGNORED, IGNORED, 5, 6], [7, IGNORED, IGNORED, IGNORED], [IGNORED, 3, IGNORED, 4]])
    assert question_ends(labels).tolist() == [1, 0, 0]
    assert targets(labels)[0].tolist() == [IGNORED, 5, 6, IGNORED]
