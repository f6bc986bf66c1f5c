"""An existing model under another schedule: what stays its own, what the schedule changes, and that it is put back."""

from typing import Any

import pytest
import torch
import vlms
from torch import Tensor

import cases
from midstream import (
    Keep,
    Schedule,
    deep_insert,
    fastv,
    prepend,
    pyramid_drop,
    retrofit,
    shortv,
    vica,
    vtw,
    window,
)

every_family = pytest.mark.parametrize("family", vlms.FAMILIES)

SCHEDULES = {
    "deep_insert": deep_insert(3),
    "window": window(1, 4),
    "vtw": vtw(4),
    "fastv": fastv(2, 0.5),
    "pyramid_drop": pyramid_drop((2, 4), 0.5),
    "shortv": shortv((2, 4, 5)),
    "vica": vica((0, 2, 4)),
    "even": Schedule(0, keeps=(Keep(3, 0.4, "even"),), name="even"),
}
LATE = ("deep_insert", "window", "vica")
STACKED = ("qwen3_vl", "qwen3_vl_moe")
"""Schedules that contradict what these models add at the input of layers 1..3."""
WITH_STATES = {"qwen3_5": ("vica", "shortv", "pyramid_drop")}
"""Layers without keys can have no tokens that are only read, or chosen by attention, there."""
OPTIONS: dict[str, Any] = {
    "max_new_tokens": 5,
    "min_new_tokens": 5,
    "do_sample": False,
    "suppress_tokens": [vlms.MEDIA],
}


@torch.no_grad()
def text_logits(family: str, given: dict[str, Tensor]) -> list[Tensor]:
    """For each row the logits of its text columns, padding left out."""
    logits = vlms.vlm(family)(**given).logits
    text = (given["input_ids"] != vlms.MEDIA) & given["attention_mask"].bool()
    return [row[kept] for row, kept in zip(logits, text, strict=True)]


def say(family: str, given: dict[str, Tensor], **options: Any) -> list[list[int]]:
    said = vlms.vlm(family).generate(**given, **(OPTIONS | options))
    return said[:, given["input_ids"].shape[1] :].tolist()


PAIRS = [
    (family, name)
    for turn, family in enumerate(vlms.FAMILIES)
    for place, name in enumerate(SCHEDULES)
    if ((turn + place) % 3 == 0 or family in ("llava", "qwen2_5_vl", "gemma3"))
    and not (family in STACKED and name in LATE)
    and name not in WITH_STATES.get(family, ())
]
"""Every schedule meets four families or more, and three families meet every schedule."""


@every_family
def test_prepend_is_the_models_own_and_another_schedule_is_not(family: str) -> None:
    given = vlms.inputs(family)
    expected, said = text_logits(family, given), say(family, given)
    beams = say(family, given, num_beams=3)
    with retrofit(vlms.vlm(family), prepend()):
        assert cases.same(text_logits(family, given), expected)
        assert say(family, given) == said
        assert say(family, given, num_beams=3) == beams, "beams reorder the cache"
    with retrofit(vlms.vlm(family), vtw(4)):
        assert not cases.same(text_logits(family, given), expected), "the control"


@every_family
def test_leaving_restores_the_model(family: str) -> None:
    model, given = vlms.fresh(family), vlms.inputs(family)
    before, modules = model(**given).logits, list(model.modules())
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), "forward" in vars(m)) for m in modules]
    with pytest.raises(KeyError), retrofit(model, fastv(2, 0.5)):
        assert not torch.equal(model(**given).logits, before)
        raise KeyError("leaving by an error is leaving")
    assert torch.equal(model(**given).logits, before)
    assert hooks == [(len(m._forward_hooks), len(m._forward_pre_hooks), "forward" in vars(m)) for m in modules]
    assert modules == list(model.modules())


@pytest.mark.parametrize(("family", "name"), PAIRS)
def test_a_batch_is_its_rows_and_a_cache_changes_nothing(family: str, name: str) -> None:
    """Left-padded rows with two pictures, one and none; slots of different length where the family has them."""
    given = vlms.inputs(family)
    with retrofit(vlms.vlm(family), SCHEDULES[name]):
        batched = text_logits(family, given)
        lone = vlms.inputs(family, vlms.PROMPTS[1:2])
        single, said = text_logits(family, lone), say(family, given)
        assert cases.same(batched[1:2], single)
        assert say(family, lone) == said[1:2]
        if all(keep.by in ("norm", "even") for keep in SCHEDULES[name].keeps):  # else the asking column moves along
            assert say(family, given, use_cache=False) == said
