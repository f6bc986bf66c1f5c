"""Frozen stays frozen: training moves the connectors and nothing else, and nothing below the entry has a gradient."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

import cases
from midstream.modality import Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.presets import deep_insert
from midstream.testing import DEPTH, tiny_encoder

ENTRY = {"prepend": 0, "deep_insert_middle": 3, "deep_insert_last": 5, "window_middle": 2, "ep_alm": 2, "two_senses": 1}


def _hashes(module: nn.Module) -> dict[str, str]:
    return {
        name: hashlib.sha256(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()
        for name, tensor in module.state_dict().items()
    }


def _frozen(made: MidstreamForCausalLM) -> list[nn.Module]:
    return [made.lm, *(made.modalities[name].encoder for name in cases.senses(made))]


def _labelled(made: MidstreamForCausalLM) -> dict[str, torch.Tensor]:
    inputs = cases.collate(cases.ROWS, cases.senses(made), "right")
    return inputs | {"labels": inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)}


def _train(made: MidstreamForCausalLM, steps: int = 3) -> list[float]:
    inputs, losses = _labelled(made), []
    optimiser = torch.optim.AdamW([p for p in made.parameters() if p.requires_grad], lr=1e-2)
    made.train()
    for _ in range(steps):
        loss = made(**inputs).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("family", "checkpointing"), [("llama", False), ("opt", True), ("gpt2", True)])
@pytest.mark.parametrize("case", cases.CASES)
def test_training_moves_connectors_only(family: str, case: str, checkpointing: bool) -> None:
    made = cases.build(cases.fresh_lm(family), case)
    if checkpointing:
        made.activation_checkpointing_enable()
    before = [_hashes(part) for part in _frozen(made)]
    trained = {name: tensor.detach().clone() for name, tensor in made.trained_tensors().items()}
    losses = _train(made)
    assert losses[-1] < losses[0], "training with a large rate learns its one batch"
    assert [_hashes(part) for part in _frozen(made)] == before
    assert all(p.grad is None and not p.requires_grad for part in _frozen(made) for p in part.parameters())
    assert not any(torch.equal(tensor, made.get_parameter(name)) for name, tensor in trained.items())


def test_control_a_thawed_weight_is_noticed() -> None:
    made = cases.build(cases.fresh_lm("llama"), "deep_insert_middle")
    before = _hashes(made.lm)
    made.lm.model.norm.weight.requires_grad_(True)
    _train(made, 1)
    assert [name for name, value in _hashes(made.lm).items() if value != before[name]] == ["model.norm.weight"]


def _noisy(checkpointing: bool) -> MidstreamForCausalLM:
    lm = cases.fresh_lm("opt", dropout=0.5, attention_dropout=0.5, layerdrop=0.0)
    vit = tiny_encoder("vit", hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    made = MidstreamForCausalLM.from_parts(lm, image=Modality(vit, "linear", deep_insert(3)))
    if checkpointing:
        made.activation_checkpointing_enable()
    return made


@pytest.mark.parametrize("checkpointing", [False, True])
def test_dropout_in_frozen_parts_never_acts(checkpointing: bool) -> None:
    made = _noisy(checkpointing)
    inputs = cases.collate(cases.ROWS, ["image"])
    expected = made.eval()(**inputs).logits
    made.train()
    assert torch.equal(made(**inputs).logits, expected)
    made(**_labelled(made)).loss.backward()
    gradient = made.modalities["image"].connector.maps[0].weight.grad.clone()
    made.zero_grad()
    made(**_labelled(made)).loss.backward()
    assert torch.equal(made.modalities["image"].connector.maps[0].weight.grad, gradient)
    assert not any(module.training for name in cases.senses(made) for module in made.modalities[name].encoder.modules())
    assert made.modalities["image"].connector.training


def test_control_dropout_that_acts_is_noticed() -> None:
    made = _noisy(False)
    inputs = cases.collate(cases.ROWS, ["image"])
    expected = made(**inputs).logits
    nn.Module.train(made.lm, True)
    assert not torch.equal(made(**inputs).logits, expected)


@contextmanager
def _seen(made: MidstreamForCausalLM, into: list[bool]) -> Iterator[None]:
    """Note for every layer whether what it gives carries a gradient."""

    def note(module: nn.Module, args: Any, output: Any) -> None:
        into.append((output[0] if isinstance(output, tuple) else output).requires_grad)

    handles = [layer.register_forward_hook(note) for layer in made.engine.anatomy.layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("case", ENTRY)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_nothing_below_the_entry_carries_a_gradient(family: str, case: str, checkpointing: bool) -> None:
    made, seen = cases.build(cases.fresh_lm(family), case), list[bool]()
    if checkpointing:
        made.activation_checkpointing_enable()
    made.train()
    with _seen(made, seen):
        made(**_labelled(made))
    assert seen == [layer >= ENTRY[case] for layer in range(DEPTH)]


def test_a_batch_of_text_alone_trains_nothing_and_does_not_fail() -> None:
    made = cases.build(cases.fresh_lm("llama"), "two_senses")
    inputs = cases.collate([cases.ROWS[2]] * 2, cases.senses(made), "right")
    loss = made(**inputs, labels=inputs["input_ids"]).loss
    loss.backward()
    assert all(not parameter.grad.any() for parameter in made.trained_tensors().values())
    plain = made.lm(input_ids=inputs["input_ids"], labels=inputs["input_ids"]).loss
    assert torch.equal(loss, plain)


@pytest.mark.parametrize("used", ["image", "other"])
def test_a_connector_that_a_batch_does_not_use_has_a_gradient_of_zero(used: str) -> None:
    """Under DDP every process must bring a gradient for every parameter."""
    made = cases.build(cases.fresh_lm("llama"), "two_senses")
    inputs = cases.collate(cases.ROWS[:1], [used], "right")
    made(**inputs, labels=inputs["input_ids"]).loss.backward()
    for name, parameter in made.trained_tensors().items():
        assert parameter.grad is not None and bool(parameter.grad.any()) == (f".{used}." in name), name
