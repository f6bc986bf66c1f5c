"""A later text token never changes earlier logits. The control: eP-ALM's published mask, whose open row leaks."""

from collections.abc import Callable
from dataclasses import replace

import oracle
import pytest
import torch
from torch import Tensor

import cases
from midstream.errors import InputError
from midstream.modality import Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.presets import ep_alm

Logits = Callable[[list[cases.Row]], list[Tensor]]


def _leaks(logits: Logits) -> bool:
    """Whether another last token moves the logits of any column before it, by anything at all."""
    changed = [replace(row, ids=(*row.ids[:-1], row.ids[-1] + 1)) for row in cases.ROWS]
    before, after = logits(list(cases.ROWS)), logits(changed)
    assert not any(torch.equal(a[-1], b[-1]) for a, b in zip(before, after, strict=True)), "the change is not seen"
    return not all(torch.equal(a[:-1], b[:-1]) for a, b in zip(before, after, strict=True))


def _fast(family: str, case: str, side: str = "left") -> Logits:
    made = cases.model(family, case)
    return lambda rows: cases.text_logits(made, cases.collate(rows, cases.senses(made), side))


@cases.every_case
def test_the_last_token_changes_nothing_before_it(family: str, case: str) -> None:
    assert not _leaks(_fast(family, case))


@cases.a_quarter(0)
def test_nor_with_padding_on_the_right(family: str, case: str) -> None:
    assert not _leaks(_fast(family, case, "right"))


@pytest.mark.parametrize("family", ["opt", "llama", "gpt2"])
@pytest.mark.parametrize("legacy", [False, True])
def test_control_the_published_ep_alm_mask_leaks(family: str, legacy: bool) -> None:
    """eP-ALM's code: the injected token may read every text column, so earlier columns learn of later ones."""
    connector = {"kind": "linear", "per_level": True}
    schedule = ep_alm(2, 4, 2, legacy=legacy)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        image = Modality(cases.encoder("vit"), connector, schedule, cases.CLS_LEVELS)
        made = MidstreamForCausalLM.from_parts(cases.lm(family), image=image)
    logits: Logits = lambda rows: cases.text_logits(made, cases.collate(rows, ["image"]))  # noqa: E731
    assert _leaks(logits) == legacy
    if family != "gpt2":
        assert cases.same(logits(list(cases.ROWS)), [oracle.text_logits(made, row) for row in cases.ROWS])
    if legacy:
        with pytest.raises(InputError, match="use_cache=False"):
            made(**cases.collate(cases.ROWS, ["image"]), use_cache=True)


def test_control_the_question_that_keeps_tokens_is_read_ahead_of() -> None:
    """FastV lets the last text token choose what all others see; training lets the end of the prompt choose."""
    made = cases.model("llama", "fastv")
    inputs = cases.collate(cases.ROWS, ["image"])
    del inputs["asking_columns"]
    other = inputs["input_ids"].clone()
    other[:, -1] += 1
    labels = torch.full_like(other, -100)
    labels[:, -1] = other[:, -1]

    def same(**given: Tensor) -> bool:
        a, b = (made(**inputs | {"input_ids": ids}, **given).logits[:, -4:-1] for ids in (inputs["input_ids"], other))
        return torch.equal(a, b)

    with torch.no_grad():
        assert not same()
        assert same(labels=labels)
