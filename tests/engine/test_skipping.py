"""A forward pass may begin at a layer whose hidden states are known, and must not be told from the whole one."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

import cases
from midstream.engine.skipping import known, reached
from midstream.errors import InputError
from midstream.modeling import MidstreamForCausalLM
from midstream.testing import LM_FAMILIES

ENTERING_LATE = ("deep_insert_middle", "window_middle", "ep_alm", "deep_insert_last")
late = pytest.mark.parametrize(
    ("family", "case"),
    [(family, ENTERING_LATE[turn % len(ENTERING_LATE)]) for turn, family in enumerate(LM_FAMILIES)],
)


def entry(made: MidstreamForCausalLM) -> int:
    return min(schedule.enter for schedule in made.engine.schedules.values())


def batch(made: MidstreamForCausalLM, **changes: Any) -> dict[str, Any]:
    inputs = cases.collate(cases.ROWS, cases.senses(made), "right")
    return inputs | {"labels": inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)} | changes


def states_of(made: MidstreamForCausalLM, inputs: dict[str, Any]) -> Tensor:
    with torch.no_grad():
        return reached(made.engine, entry(made), lambda: made(**inputs))


def outcome(made: MidstreamForCausalLM, inputs: dict[str, Any]) -> list[Tensor]:
    made.train()
    made.zero_grad()
    output = made(**inputs)
    output.loss.backward()
    gradients = [parameter.grad for parameter in made.trained_tensors().values()]
    return [output.loss.detach(), output.logits.detach(), *(grad.clone() for grad in gradients if grad is not None)]


def equal(found: list[Tensor], expected: list[Tensor]) -> bool:
    return len(found) == len(expected) and all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@late
def test_beginning_at_the_entry_changes_no_bit(family: str, case: str) -> None:
    made = cases.build(cases.fresh_lm(family), case)
    inputs = batch(made)
    expected, states = outcome(made, inputs), states_of(made, inputs)
    with known(made.engine, made.lm, entry(made), states):
        assert equal(outcome(made, inputs), expected)
    with known(made.engine, made.lm, entry(made), states.flip(2)):
        assert not equal(outcome(made, inputs), expected)
    made.gradient_checkpointing_enable()
    with known(made.engine, made.lm, entry(made), states):
        assert equal(outcome(made, inputs), expected)


@late
def test_the_other_layers_really_do_not_run(family: str, case: str) -> None:
    made, ran = cases.build(cases.fresh_lm(family), case), set[int]()
    inputs, first = batch(made), entry(made)
    states_of(made, inputs)
    with known(made.engine, made.lm, first, states_of(made, inputs)):
        pass  # how the layers return is learnt once, by one token
    for number, layer in enumerate(made.engine.anatomy.layers):
        for part in layer.children():
            part.register_forward_hook(lambda *given, number=number: ran.add(number))
    states = states_of(made, inputs)
    assert ran == set(range(first))
    ran.clear()
    with torch.no_grad(), known(made.engine, made.lm, first, states):
        made(**inputs)
    assert ran == set(range(first, len(made.engine.anatomy.layers)))
    assert not any("forward" in vars(layer) for layer in made.engine.anatomy.layers)


def test_text_alone_may_begin_late_too() -> None:
    made = cases.build(cases.fresh_lm("llama"), "deep_insert_middle")
    inputs = {key: value for key, value in batch(made).items() if not key.startswith("image")}
    with torch.no_grad():
        expected, states = made(**inputs).logits, states_of(made, inputs)
        with known(made.engine, made.lm, 3, states):
            assert torch.equal(made(**inputs).logits, expected)


def test_states_of_another_text_are_refused() -> None:
    made = cases.build(cases.fresh_lm("llama"), "deep_insert_middle")
    inputs = batch(made)
    with (
        pytest.raises(InputError, match=r"known states are for \(4, 10\) .* but the text is \(4, 11\)"),
        known(made.engine, made.lm, 3, states_of(made, inputs)[:, 1:]),
    ):
        made(**inputs)
    assert not any("forward" in vars(layer) for layer in made.engine.anatomy.layers)


def test_calls_in_other_threads_go_their_own_way() -> None:
    made = cases.build(cases.fresh_lm("llama"), "deep_insert_middle")
    inputs = batch(made)
    with torch.no_grad():
        expected = made(**inputs).logits
        wrong = torch.zeros_like(states_of(made, inputs))
        with ThreadPoolExecutor(1) as pool, known(made.engine, made.lm, 3, wrong):
            assert not torch.equal(made(**inputs).logits, expected)
            assert torch.equal(pool.submit(torch.no_grad()(made), **inputs).result().logits, expected)


def test_a_forward_of_the_layers_own_is_kept() -> None:
    """Accelerate puts one there."""
    made = cases.build(cases.fresh_lm("llama"), "deep_insert_middle")
    layer, calls = made.engine.anatomy.layers[1], list[int]()
    original = layer.forward
    layer.forward = own = lambda *args, **kwargs: (calls.append(1), original(*args, **kwargs))[1]
    inputs = batch(made)
    states = states_of(made, inputs)
    assert calls == [1] and layer.forward is own
    with torch.no_grad(), known(made.engine, made.lm, 3, states):
        made(**inputs)
    assert calls == [1] and layer.forward is own


@torch.no_grad()
@pytest.mark.parametrize("family", ["llama", "gemma3_text", "opt"])
def test_a_prompt_whose_lower_layers_are_known_serves_many_pictures(family: str) -> None:
    """States and lower keys of the text are computed once; a new picture runs through the layers above only."""
    made = cases.build(cases.fresh_lm(family), "deep_insert_middle")
    inputs = {key: value for key, value in batch(made).items() if key != "labels"}
    lower = DynamicCache(config=made.engine.anatomy.config)
    states = reached(made.engine, 3, lambda: made(**inputs, past_key_values=lower, use_cache=True))
    new = inputs | {"image_pixel_values": inputs["image_pixel_values"].flip(3)}
    step = {
        "input_ids": torch.full((4, 1), 5),
        "attention_mask": torch.cat([inputs["attention_mask"], torch.ones(4, 1)], 1),
    }

    expected = made(**new, use_cache=True)
    cache = DynamicCache(config=made.engine.anatomy.config)
    with known(made.engine, made.lm, 3, states):
        found = made(**new, past_key_values=cache, use_cache=True)
    assert torch.equal(found.logits, expected.logits)
    cache.layers[:3] = deepcopy(lower.layers[:3])
    logits = [made(**step, past_key_values=past).logits for past in (cache, expected.past_key_values)]
    assert torch.equal(*logits)
