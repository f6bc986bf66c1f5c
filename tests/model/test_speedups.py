"""What only saves memory or time changes nothing: gradient checkpointing and `torch.compile`."""

import pytest
import torch
from torch import Tensor

import cases
from midstream.errors import InputError
from midstream.modeling import MidstreamForCausalLM
from midstream.testing import LM_FAMILIES

SAMPLED = (("llama", "deep_insert_middle"), ("gemma3_text", "ep_alm"), ("opt", "window_from_0"), ("llama", "deepstack"))
compiled_cases = pytest.mark.parametrize(
    ("family", "case"),
    [
        pytest.param(family, case, marks=[] if (family, case) in SAMPLED else pytest.mark.slow)
        for family, case in (*SAMPLED, *((family, "deep_insert_middle") for family in LM_FAMILIES if family != "llama"))
    ],
)


def _labelled(made: MidstreamForCausalLM) -> dict[str, Tensor]:
    inputs = cases.collate(cases.ROWS, cases.senses(made))
    return inputs | {"labels": inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)}


def _gradients(made: MidstreamForCausalLM) -> dict[str, Tensor]:
    made.train()
    made.zero_grad()
    made(**_labelled(made)).loss.backward()
    return {name: parameter.grad.clone() for name, parameter in made.trained_tensors().items()}


def _equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


@cases.a_quarter(0)
def test_checkpointing_gives_the_same_gradients_bit_for_bit(family: str, case: str) -> None:
    made = cases.build(cases.fresh_lm(family), case)
    expected = _gradients(made)
    assert all(bool(gradient.any()) for name, gradient in expected.items() if not name.endswith("in_proj_bias"))
    made.gradient_checkpointing_enable()
    assert _equal(_gradients(made), expected)
    made.gradient_checkpointing_disable()
    assert _equal(_gradients(made), expected)


def test_checkpointing_really_runs_layers_twice() -> None:
    made, runs = cases.build(cases.fresh_lm("llama"), "deep_insert_middle"), list[int]()
    made.lm.model.layers[4].self_attn.register_forward_hook(lambda *given: runs.append(1))
    _gradients(made)
    assert len(runs) == 1
    made.gradient_checkpointing_enable()
    _gradients(made)
    assert len(runs) == 3


def test_options_of_the_trainer_are_understood() -> None:
    """Trainer names them all; on versions that lack the newer name it gives none of them."""
    made = cases.build(cases.fresh_lm("llama"), "deep_insert_middle")
    expected = _gradients(made)
    made.activation_checkpointing_enable({"use_reentrant": False}, every_n_layers=2, offload=False)
    assert _equal(_gradients(made), expected)
    with pytest.raises(InputError, match="use_reentrant"):
        made.gradient_checkpointing_enable({"use_reentrant": True})


def test_checkpointing_the_inner_lm_is_correct_or_says_so() -> None:
    made = cases.build(cases.fresh_lm("llama"), "deep_insert_middle")
    expected = _gradients(made)
    made.lm.activation_checkpointing_enable({"use_reentrant": False})
    assert _equal(_gradients(made), expected), "eval mode keeps the LM's own checkpointing asleep"
    made.lm.train()  # against the rules: the LM's layers are frozen
    made.zero_grad()
    try:  # newer versions of Transformers rerun a layer's forward without its hooks, which is right in any call
        made(**_labelled(made)).loss.backward()
        found = {name: parameter.grad for name, parameter in made.trained_tensors().items()}
        assert _equal(found, expected)
    except RuntimeError as error:
        assert "of the Midstream model" in str(error)


@torch.no_grad()
@compiled_cases
def test_compile_in_one_graph_changes_nothing(family: str, case: str) -> None:
    made = cases.build(cases.fresh_lm(family, depth=5 if case == "ep_alm" else 4), case)
    inputs = cases.collate(cases.ROWS, ["image"])
    expected = made(**inputs, use_cache=False).logits
    pixels = inputs.pop("image_pixel_values")
    inputs["image_tokens"] = made.modalities["image"].tokens({"slots": inputs["image_slots"], "pixel_values": pixels})
    torch.compiler.reset()
    found = torch.compile(made.forward, fullgraph=True, backend="eager")(**inputs, use_cache=False).logits
    assert cases.same([found], [expected])


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # dynamo's, where a graph breaks
def test_compile_from_pixels_may_break_the_graph_but_not_the_result() -> None:
    made = cases.build(cases.fresh_lm("llama"), "deep_insert_middle")
    expected = _gradients(made)
    torch.compiler.reset()
    made.zero_grad()
    torch.compile(made.forward, backend="eager")(**_labelled(made)).loss.backward()
    found = {name: parameter.grad for name, parameter in made.trained_tensors().items()}
    assert all(torch.allclose(found[name], expected[name], **cases.TOLERANCE) for name in expected)
