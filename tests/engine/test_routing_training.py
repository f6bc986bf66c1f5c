"""Connectors learn through tokens that are read, parked, dropped or added to, and checkpointing changes no gradient."""

import oracle
import pytest
import torch
from torch import Tensor, nn

import cases
from midstream.modeling import MidstreamForCausalLM

ROUTED = ("shortv", "vica", "fastv", "pyramid", "deepstack")
routed = pytest.mark.parametrize("case", ROUTED)


def labelled(made: MidstreamForCausalLM, rows: tuple[cases.Row, ...] = cases.ROWS) -> dict[str, Tensor]:
    inputs = cases.collate(rows, cases.senses(made))
    begun = inputs["attention_mask"].cumsum(1) > 1  # nothing foretells the first token of a row
    return inputs | {"labels": inputs["input_ids"].masked_fill(~begun, -100)}


def gradients(made: MidstreamForCausalLM, loss: Tensor) -> list[Tensor]:
    made.zero_grad()
    loss.backward()
    return [parameter.grad.clone() for parameter in made.trained_tensors().values() if parameter.grad is not None]


def by_the_oracle(made: MidstreamForCausalLM) -> Tensor:
    """The loss of the batch, from the slow oracle's logits."""
    losses = []
    for row in cases.ROWS:
        logits = oracle.text_logits(made, row)[:-1]
        losses.append(nn.functional.cross_entropy(logits, torch.tensor(row.ids[1:]), reduction="none"))
    return torch.cat(losses).mean()


@routed
@pytest.mark.parametrize("family", ["llama", "opt"])
def test_gradients_are_those_of_the_oracle(family: str, case: str) -> None:
    made = cases.build(cases.fresh_lm(family), case).train()
    expected = gradients(made, by_the_oracle(made))
    found = gradients(made, made(**labelled(made)).loss)
    assert len(found) == len(expected) > 0
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-5 * float(b.abs().max()))
    flipped = labelled(made) | {"image_pixel_values": labelled(made)["image_pixel_values"].flip(4)}
    other = gradients(made, made(**flipped).loss)
    assert not all(torch.allclose(a, b, rtol=1e-2) for a, b in zip(other, expected, strict=True)), "the control"


@routed
@pytest.mark.parametrize("family", ["llama", "opt", "gemma3_text"])
def test_checkpointing_changes_no_bit_of_the_gradients(family: str, case: str) -> None:
    made, runs = cases.build(cases.fresh_lm(family), case).train(), list[int]()
    made.engine.anatomy.layers[5].register_forward_hook(lambda *given: runs.append(1))
    expected = gradients(made, made(**labelled(made)).loss)
    assert len(runs) == 1
    made.gradient_checkpointing_enable()
    found = gradients(made, made(**labelled(made)).loss)
    assert len(found) == len(expected) and all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def fallen(made: MidstreamForCausalLM, inputs: dict[str, Tensor]) -> float:
    """What share of the loss is gone after a few steps."""
    optimiser = torch.optim.AdamW(made.trained_tensors().values(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = made(**inputs).loss
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return 1 - losses[-1] / losses[0]


@pytest.mark.parametrize(
    ("family", "case"), [("llama", "shortv"), ("opt", "vica"), ("gpt2", "fastv"), ("llama", "deepstack")]
)
def test_a_connector_learns_what_its_tokens_can_tell(family: str, case: str) -> None:
    row = cases.Row((11, 25, 38, 47, 52, 61, 79, 83), {"image": (2,)}, media=1)
    made = cases.build(cases.fresh_lm(family), case).train()
    inputs = labelled(made, (row,))
    assert fallen(made, inputs) > 0.1
    unheard = inputs | {"labels": inputs["labels"].masked_fill(torch.arange(8) > 2, -100)}
    assert abs(fallen(cases.build(cases.fresh_lm(family), case).train(), unheard)) < 1e-6, "the control"
