"""A row's logits do not depend on its company: batch == singles, left == right padding, cached == uncached."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import cases
from midstream.engine.call import POSITION_RULES
from midstream.errors import InputError
from midstream.modeling import MidstreamForCausalLM

LATER = (12, 75, 43)


@cases.a_quarter(2)
def test_batch_equals_singles(family: str, case: str) -> None:
    """Several slots in a row, two at one place, and a row of text alone among them."""
    made = cases.model(family, case)
    names = cases.senses(made)
    singles = [cases.text_logits(made, cases.collate([row], names))[0] for row in cases.ROWS]
    for side in ("left", "right"):
        assert cases.same(cases.text_logits(made, cases.collate(cases.ROWS, names, side)), singles)


@pytest.mark.parametrize("breakage", ["mask", "slots", "pictures", "order"])
def test_control_what_belongs_to_a_row_matters(breakage: str) -> None:
    made = cases.model("llama", "deep_insert_middle")
    inputs = cases.collate(cases.ROWS, ["image"])
    right = cases.text_logits(made, inputs)
    if breakage == "mask":
        inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
    elif breakage == "slots":
        inputs["image_slots"] = inputs["image_slots"].clamp(max=5)
    elif breakage == "pictures":
        inputs["image_pixel_values"] = inputs["image_pixel_values"].roll(1, 0)
    else:
        inputs["image_slots"] = inputs["image_slots"].flip(1)
    assert not cases.same(cases.text_logits(made, inputs)[:2], right[:2])


@torch.no_grad()
def _token_by_token(made: MidstreamForCausalLM, rows: tuple[cases.Row, ...]) -> Tensor:
    """Logits of the columns of `LATER`, fed one by one to the cache of `rows`."""
    inputs = cases.collate(rows, cases.senses(made))
    output, logits = made(**inputs, use_cache=True), []
    mask = inputs["attention_mask"]
    for token in LATER:
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        ids = torch.full((len(rows), 1), token)
        output = made(input_ids=ids, attention_mask=mask, past_key_values=output.past_key_values, use_cache=True)
        logits.append(output.logits)
    return torch.cat(logits, dim=1)


def _at_once(made: MidstreamForCausalLM, rows: tuple[cases.Row, ...]) -> Tensor:
    longer = [replace(row, ids=row.ids + LATER) for row in rows]
    return torch.stack(
        [one[-len(LATER) :] for one in cases.text_logits(made, cases.collate(longer, cases.senses(made)))]
    )


@cases.every_case
def test_cached_equals_uncached(family: str, case: str) -> None:
    made = cases.model(family, case)
    assert cases.same([_token_by_token(made, cases.ROWS)], [_at_once(made, cases.ROWS)])


@pytest.mark.parametrize("positions", POSITION_RULES)
@pytest.mark.parametrize("family", ["mistral", "opt", "gpt2"])
def test_cached_equals_uncached_under_every_position_rule(family: str, positions: str) -> None:
    made = cases.model(family, "two_senses", positions)
    assert cases.same([_token_by_token(made, cases.ROWS)], [_at_once(made, cases.ROWS)])


def test_control_a_cache_that_forgets_its_tokens_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = cases.model("llama", "deep_insert_middle")
    expected = _at_once(made, cases.ROWS)
    real = type(made).forward

    def forgetful(self: Any, **kwargs: Any) -> Any:
        memory = getattr(kwargs.get("past_key_values"), "midstream_memory", None)
        for mask in memory.masks.values() if memory else ():
            mask[:, :3] = False
        return real(self, **kwargs)

    monkeypatch.setattr(type(made), "forward", forgetful)
    assert not cases.same([_token_by_token(made, cases.ROWS)], [expected])


def test_only_the_last_logits_on_request() -> None:
    made = cases.model("llama", "window_from_0")
    inputs = cases.collate(cases.ROWS, ["image"])
    with torch.no_grad():
        every, last = made(**inputs).logits, made(**inputs, logits_to_keep=1).logits
    assert last.shape[1] == 1
    assert cases.same([last], [every[:, -1:]])


@pytest.mark.parametrize("slots", [[[11], [2]], [[12], [2]], [[2]]])
def test_slots_that_do_not_fit_the_text_are_refused(slots: list[list[int]]) -> None:
    """Column 11 is the end of an 11-column text: nothing follows that could read the tokens."""
    inputs = cases.collate(cases.ROWS[:2], [])
    pixels = torch.zeros(len(slots), 1, 3, 16, 16)
    with pytest.raises(InputError, match="image_slots"):
        cases.model("llama", "deep_insert_middle")(**inputs, image_slots=torch.tensor(slots), image_pixel_values=pixels)


def test_media_without_slots_and_slots_without_media_are_refused() -> None:
    made, inputs = cases.model("llama", "deep_insert_middle"), cases.collate(cases.ROWS[:1], ["image"])
    slots = inputs.pop("image_slots")
    with pytest.raises(InputError, match="without image_slots"):
        made(**inputs)
    inputs.pop("image_pixel_values")
    with pytest.raises(InputError, match="pixel_values"):
        made(**inputs, image_slots=slots)
    with pytest.raises(InputError, match="rows, slots"):
        made(**inputs, image_slots=slots, image_pixel_values=torch.zeros(1, 3, 3, 16, 16))


def test_a_mask_that_forgets_the_cache_is_refused() -> None:
    made, inputs = cases.model("llama", "deep_insert_middle"), cases.collate(cases.ROWS, ["image"])
    cache = made(**inputs, use_cache=True).past_key_values
    ids = torch.full((len(cases.ROWS), 1), 5)
    with pytest.raises(InputError, match="must cover both"):
        made(input_ids=ids, attention_mask=torch.ones_like(ids), past_key_values=cache)
