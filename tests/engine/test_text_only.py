"""A model with more senses that is given text alone is the plain LM, exactly; detached, it is the plain LM again."""

import pytest
import torch

import cases
from midstream.engine import Engine
from midstream.presets import deep_insert, prepend
from midstream.testing import LM_FAMILIES

TEXT = [cases.Row(row.ids) for row in cases.ROWS]
GREEDY = {"max_new_tokens": 6, "do_sample": False}
SILENT = [pair for pair in cases.FAMILY_BY_CASE if pair[1] != "prompt_and_image"]
silent_cases = pytest.mark.parametrize(("family", "case"), SILENT)
some_silent_cases = pytest.mark.parametrize(("family", "case"), SILENT[::3])


@silent_cases
def test_text_alone_gives_the_plain_lms_logits_exactly(family: str, case: str) -> None:
    for row in TEXT:
        inputs = cases.collate([row], [])
        with torch.no_grad():
            expected = cases.plain_lm(family)(input_ids=inputs["input_ids"]).logits
            found = cases.model(family, case)(input_ids=inputs["input_ids"]).logits
        assert torch.equal(found, expected)


@some_silent_cases
def test_empty_slots_are_text_alone(family: str, case: str) -> None:
    """A batch whose rows hold no media at all: every slot is -1."""
    inputs = cases.collate(TEXT[:2], [])
    made = cases.model(family, case)
    empty = {"image_slots": torch.full((2, 1), -1), "image_pixel_values": torch.zeros(2, 1, 3, 16, 16)}
    assert cases.same(cases.text_logits(made, inputs | empty), cases.text_logits(made, inputs))


def test_control_a_sense_that_is_always_on_is_noticed() -> None:
    inputs = cases.collate(TEXT[:1], [])
    with torch.no_grad():
        expected = cases.plain_lm("llama")(**inputs).logits
        found = cases.model("llama", "prompt_and_image")(**inputs).logits
    assert not torch.equal(found, expected)


@some_silent_cases
def test_left_padded_generate_equals_the_plain_lms(family: str, case: str) -> None:
    inputs = cases.collate(TEXT, [])
    expected = cases.plain_lm(family).generate(**inputs, **GREEDY)
    assert torch.equal(cases.model(family, case).generate(**inputs, **GREEDY), expected)


def test_control_an_unmasked_padding_is_noticed() -> None:
    inputs = cases.collate(TEXT, [])
    expected = cases.plain_lm("llama").generate(**inputs, **GREEDY)
    inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
    assert not torch.equal(cases.model("llama", "deep_insert_middle").generate(**inputs, **GREEDY), expected)


def _hooks(lm: torch.nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in lm.modules())


@pytest.mark.parametrize("family", LM_FAMILIES)
def test_detach_leaves_the_lm_as_it_was(family: str) -> None:
    lm = cases.fresh_lm(family)
    inputs = cases.collate(TEXT, [])
    before, hooks = lm(**inputs).logits, _hooks(lm)
    attributes = {name: set(vars(module)) for name, module in lm.named_modules()}
    engine = Engine(lm, {"image": prepend(), "other": deep_insert(3)})
    assert _hooks(lm) > hooks, "the control: attached hooks are counted"
    engine.detach()
    assert _hooks(lm) == hooks
    assert {name: set(vars(module)) for name, module in lm.named_modules()} == attributes
    assert torch.equal(lm(**inputs).logits, before)
