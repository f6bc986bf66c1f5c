"""A fingerprint tells models apart, and survives what does not make another model of it."""

import pytest
import torch

import cases
from midstream.checkpoint import check_fingerprint, fingerprint
from midstream.errors import InputError
from midstream.testing import LM_FAMILIES, tiny_encoder, tiny_lm


def _check(model: torch.nn.Module, expected: dict[str, object]) -> None:
    check_fingerprint(model, expected, "language model", "the/first", "the/second")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", LM_FAMILIES)
def test_it_survives_another_precision(family: str, dtype: torch.dtype) -> None:
    expected = fingerprint(cases.plain_lm(family))
    _check(cases.fresh_lm(family).to(dtype), expected)
    _check(cases.fresh_lm(family), fingerprint(cases.fresh_lm(family).to(dtype)))


@pytest.mark.parametrize("family", LM_FAMILIES)
def test_other_weights_of_the_same_shape_are_refused(family: str) -> None:
    with pytest.raises(InputError, match=r"'the/first', but 'the/second' has other weights"):
        _check(tiny_lm(family, seed=1), fingerprint(tiny_lm(family)))


def test_another_model_is_refused_for_what_it_is() -> None:
    expected = fingerprint(tiny_lm("llama"))
    with pytest.raises(InputError, match="architecture OPTForCausalLM, not LlamaForCausalLM"):
        _check(tiny_lm("opt"), expected)
    with pytest.raises(InputError, match=r"parameters \d+, not \d+"):
        _check(tiny_lm("llama", depth=5), expected)


def test_a_model_that_was_trained_on_is_refused() -> None:
    """A tenth of an optimiser's first step at a usual rate, in every weight."""
    model = tiny_lm("llama")
    expected = fingerprint(model)
    _check(model, expected)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1e-3 * torch.randn_like(parameter).sign())
    with pytest.raises(InputError, match="other weights"):
        _check(model, expected)


def test_hooks_modes_and_devices_do_not_count() -> None:
    model = tiny_encoder("vit")
    expected = fingerprint(model)
    model.train().requires_grad_(False)
    assert fingerprint(model) == expected


@pytest.mark.parametrize("gone", ["architecture", "parameters", "sketch"])
def test_a_fingerprint_with_something_missing_is_refused(gone: str) -> None:
    expected = fingerprint(tiny_lm("llama"))
    expected.pop(gone)
    with pytest.raises(InputError, match=gone):
        _check(tiny_lm("llama"), expected)
