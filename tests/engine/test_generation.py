"""`generate` by every road gives what full forward passes say."""

from typing import Any

import pytest
import torch
from torch import Tensor

import cases
from midstream.modeling import MidstreamForCausalLM

NEW = 4
GREEDY: dict[str, Any] = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False}


def _follows(made: MidstreamForCausalLM, row: cases.Row, said: list[int]) -> bool:
    """Whether each word is the greedy choice after those before it, by one full pass without cache or padding."""
    whole = cases.Row((*row.ids, *said), row.slots, row.media)
    logits = cases.text_logits(made, cases.collate([whole], cases.senses(made)))[0][len(row.ids) - 1 : -1]
    logits[:, made.config.get_text_config().eos_token_id] = -torch.inf
    return logits.argmax(-1).tolist() == said


def _generate(made: MidstreamForCausalLM, rows: tuple[cases.Row, ...], **options: Any) -> list[list[int]]:
    inputs = cases.collate(rows, cases.senses(made))
    return made.generate(**inputs, **(GREEDY | options))[:, inputs["input_ids"].shape[1] :].tolist()


@cases.a_quarter(0)
def test_each_word_is_the_greedy_choice_of_a_full_pass(family: str, case: str) -> None:
    made = cases.model(family, case)
    said = _generate(made, cases.ROWS)
    assert all(_follows(made, row, words) for row, words in zip(cases.ROWS, said, strict=True))


def test_control_other_pictures_give_other_words() -> None:
    made = cases.model("llama", "deep_insert_middle")
    others = tuple(cases.Row(row.ids, row.slots, row.media + 7) for row in cases.ROWS)
    said = _generate(made, others)
    assert not all(_follows(made, row, words) for row, words in zip(cases.ROWS, said, strict=True))


@cases.a_quarter(1)
def test_without_a_cache_the_words_are_the_same(family: str, case: str) -> None:
    made = cases.model(family, case)
    assert _generate(made, cases.ROWS, use_cache=False) == _generate(made, cases.ROWS)


@cases.a_quarter(2)
def test_three_beams_batched_equal_one_by_one(family: str, case: str) -> None:
    made = cases.model(family, case)
    alone = [_generate(made, (row,), num_beams=3)[0] for row in cases.ROWS]
    assert _generate(made, cases.ROWS, num_beams=3) == alone


def test_control_beams_differ_from_greedy() -> None:
    """Or else the beams above would never have been reordered."""
    models = [cases.model(family, "deep_insert_middle") for family in ("llama", "opt", "mistral")]
    assert any(_generate(made, cases.ROWS, num_beams=3) != _generate(made, cases.ROWS) for made in models)


def test_sampling_returns_several_sequences_for_each_row() -> None:
    made = cases.model("llama", "two_senses")
    inputs = cases.collate(cases.ROWS, cases.senses(made))
    torch.manual_seed(1)
    cached = made.generate(**inputs, do_sample=True, num_return_sequences=2, max_new_tokens=4)
    torch.manual_seed(1)
    assert torch.equal(
        made.generate(**inputs, do_sample=True, num_return_sequences=2, max_new_tokens=4, use_cache=False), cached
    )
    assert len(cached) == 2 * len(cases.ROWS)


@pytest.mark.parametrize("key", ["features", "tokens"])
def test_precomputed_features_and_tokens_stand_for_pixels(key: str) -> None:
    made = cases.model("llama", "deep_insert_middle")
    inputs = cases.collate(cases.ROWS, ["image"])
    expected, pixels = made.generate(**inputs, **GREEDY), inputs.pop("image_pixel_values")
    image = made.modalities["image"]
    if key == "features":
        inputs["image_features"] = image.encoder(pixel_values=pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
    else:
        inputs["image_tokens"] = image.tokens({"slots": inputs["image_slots"], "pixel_values": pixels})
    assert torch.equal(made.generate(**inputs, **GREEDY), expected)


def _second_turn(made: MidstreamForCausalLM, inputs: dict[str, Tensor], ids: Tensor, at: int) -> dict[str, Tensor]:
    """What a later call gets: all text so far, and only the new pictures; slots count from the start of the text."""
    new = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    for name in cases.senses(made):
        pixels = torch.stack([cases.Row((), media=9).picture(name, 0)])[:, None]
        new |= {f"{name}_slots": torch.tensor([[at]]), f"{name}_pixel_values": pixels}
    return new


@cases.a_quarter(1, without=cases.ASKING)  # there, each question chooses among the pictures of its own turn
def test_a_second_picture_on_the_same_cache_equals_one_call(family: str, case: str) -> None:
    made = cases.model(family, case)
    names = cases.senses(made)
    first = cases.collate(cases.ROWS[:1], names)
    turn = torch.tensor([[13, 26, 57, 68]])
    ids = torch.cat([first["input_ids"], turn], dim=1)
    second = _second_turn(made, first, ids, at=first["input_ids"].shape[1] + 1)
    whole = dict(second)
    for key in (f"{name}_{part}" for name in names for part in ("slots", "pixel_values")):
        whole[key] = torch.cat([first[key], second[key]], dim=1)
    with torch.no_grad():
        expected = made(**whole).logits[:, -turn.shape[1] :]
        cache = made(**first, use_cache=True).past_key_values
        found = made(**(second | {"input_ids": turn}), past_key_values=cache).logits
        without = made(input_ids=turn, attention_mask=second["attention_mask"], past_key_values=_again(made, first))
    assert cases.same([found], [expected])
    assert not cases.same([without.logits], [expected]), "the control: the second picture is seen"


def _again(made: MidstreamForCausalLM, inputs: dict[str, Tensor]) -> Any:
    return made(**inputs, use_cache=True).past_key_values


@cases.a_quarter(0, without=cases.ASKING)
def test_a_conversation_continues_through_generate(family: str, case: str) -> None:
    made = cases.model(family, case)
    names = cases.senses(made)
    first = cases.collate(cases.ROWS[:1], names)
    said = made.generate(**first, **GREEDY, return_dict_in_generate=True)
    ids = torch.cat([said.sequences, torch.tensor([[13, 26, 57, 68]])], dim=1)
    second = _second_turn(made, first, ids, at=said.sequences.shape[1] + 1)
    whole = dict(second)
    for key in (f"{name}_{part}" for name in names for part in ("slots", "pixel_values")):
        whole[key] = torch.cat([first[key], second[key]], dim=1)
    found = made.generate(**second, **GREEDY, past_key_values=said.past_key_values)
    assert torch.equal(found, made.generate(**whole, **GREEDY))
