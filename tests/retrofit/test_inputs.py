"""How a retrofitted model is called: padding, caches, further turns, training; and what it refuses."""

from typing import Any

import pytest
import torch
import vlms
from test_schedules import OPTIONS, text_logits
from torch import Tensor
from transformers import DynamicCache, MllamaConfig, MllamaForConditionalGeneration

import cases
from midstream import InputError, Schedule, Write, deep_insert, deepstack, fastv, prepend, retrofit, shortv, vtw
from midstream.testing import tiny_lm

ROW = vlms.PROMPTS[0]
MORE = (55, vlms.Piece(9), 34, 28)


@pytest.mark.parametrize("family", ["llava", "qwen3_vl", "gemma3", "paligemma"])
@pytest.mark.parametrize("schedule", [vtw(4), shortv((3, 5))], ids=str)
def test_right_padding_is_left_padding(family: str, schedule: Schedule) -> None:
    with retrofit(vlms.vlm(family), schedule):
        left, right = (text_logits(family, positioned(family, side)) for side in ("left", "right"))
    assert cases.same(left, right)


def positioned(family: str, side: str) -> dict[str, Tensor]:
    """Inputs with the position ids that generate gives; by themselves most models count padding."""
    given = vlms.inputs(family, side=side)
    if family == "qwen3_vl":
        return given
    ids = (given["attention_mask"].cumsum(1) - 1).clamp(min=0)
    return given | {"position_ids": ids + (family == "paligemma")}


@torch.no_grad()
@pytest.mark.parametrize("family", ["llava", "llava_onevision", "qwen2_5_vl", "gemma3", "paligemma", "qwen2_audio"])
@pytest.mark.parametrize("schedule", [deep_insert(3), fastv(2, 0.5)], ids=str)
def test_eager_attention_is_sdpa(family: str, schedule: Schedule) -> None:
    given, model = vlms.inputs(family), vlms.fresh(family)
    with retrofit(vlms.vlm(family), schedule):
        expected = text_logits(family, given)
    model.set_attn_implementation("eager")
    with retrofit(model, schedule):
        found = model(**given).logits
    text = (given["input_ids"] != vlms.MEDIA) & given["attention_mask"].bool()
    assert cases.same([row[kept] for row, kept in zip(found, text, strict=True)], expected)


@torch.no_grad()
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "gemma3", "paligemma", "idefics3"])
def test_a_loop_written_by_hand_says_what_generate_says(family: str) -> None:
    """Without position ids and masks the model counts what the cache holds; it must count merged columns."""
    given = vlms.inputs(family, [ROW])
    with retrofit(vlms.vlm(family), deep_insert(3)):
        said = vlms.vlm(family).generate(**given, **OPTIONS)[0, given["input_ids"].shape[1] :].tolist()
        output = vlms.vlm(family)(**given, use_cache=True)
        found: list[int] = []
        while len(found) < len(said):
            last = output.logits[0, -1]
            last[vlms.MEDIA] = -torch.inf
            if family == "idefics3":
                last[2] = -torch.inf
            found.append(int(last.argmax()))
            output = vlms.vlm(family)(input_ids=torch.tensor([found[-1:]]), past_key_values=output.past_key_values)
    assert found == said or 2 in found, "generate holds the end of text back"


@torch.no_grad()
@pytest.mark.parametrize("family", ["llava", "llava_next", "idefics3", "qwen2_audio"])
@pytest.mark.parametrize("schedule", [deep_insert(3), vtw(4), shortv((2, 4))], ids=str)
def test_a_further_turn_brings_another_picture(family: str, schedule: Schedule) -> None:
    model, whole = vlms.vlm(family), vlms.inputs(family, [ROW + MORE])
    first = vlms.inputs(family, [ROW])
    width = first["input_ids"].shape[1]
    later = vlms.inputs(family, [MORE])
    later["attention_mask"] = whole["attention_mask"]
    with retrofit(model, schedule):
        expected = model(**whole).logits[:, width:]
        cache = model(**first, use_cache=True).past_key_values
        assert cache.get_seq_length() == width
        found = model(**later, past_key_values=cache).logits
        said = model.generate(**whole, **OPTIONS)
        cache = model(**first, use_cache=True).past_key_values
        again = model.generate(**(later | {"input_ids": whole["input_ids"]}), past_key_values=cache, **OPTIONS)
    assert cases.same([found], [expected])
    assert said.tolist() == again.tolist()
    with pytest.raises(InputError, match="filled inside a retrofit that has been left"):
        model.generate(**(later | {"input_ids": whole["input_ids"]}), past_key_values=cache, **OPTIONS)


def test_text_alone_is_the_models_own_to_the_bit() -> None:
    for family in vlms.FAMILIES:
        given = vlms.inputs(family, [(11, 25, 38, 47), (31, 62)])
        with torch.no_grad():
            plain = vlms.vlm(family)(**given).logits
            with retrofit(vlms.vlm(family), vtw(4)):
                assert torch.equal(vlms.vlm(family)(**given).logits, plain), family


def test_gradients_reach_what_makes_the_tokens() -> None:
    model, given = vlms.fresh("llava"), vlms.inputs("llava")
    labels = given["input_ids"].masked_fill(given["attention_mask"] == 0, -100)
    labels = labels.masked_fill(labels == vlms.MEDIA, -100)
    with retrofit(model, deep_insert(3)):
        model(**given, labels=labels).loss.backward()
    moved = model.model.multi_modal_projector.linear_1.weight.grad
    assert moved is not None and bool(moved.abs().sum() > 0)
    assert model.model.language_model.layers[0].mlp.up_proj.weight.grad is not None, "text trains below the entry too"


REFUSED: dict[str, tuple[str, Schedule, str]] = {
    "no such layer": ("llava", deep_insert(6), "has layers 0..5"),
    "levels that are not there": ("llava", deepstack(3), "has 1 of them"),
    "adds below the entry": (
        "qwen3_vl",
        deep_insert(4),
        "adds visual levels .* at the input of layers 1..3",
    ),
    "adds after leaving": ("qwen3_vl", vtw(3), "contradicts"),
    "adds that replace": ("qwen3_vl", Schedule(0, writes=(Write(0), Write(2))), "contradicts"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_schedules_that_a_model_cannot_follow_are_refused_at_entry(why: str) -> None:
    family, schedule, said = REFUSED[why]
    given = vlms.inputs(family)
    before = text_logits(family, given)
    with pytest.raises(InputError, match=said), retrofit(vlms.vlm(family), schedule):
        raise AssertionError("not reached")
    assert cases.same(text_logits(family, given), before)


def test_models_that_merge_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="merges no media into its text"), retrofit(tiny_lm("llama"), prepend()):
        raise AssertionError("not reached")


def test_a_model_with_cross_attention_is_refused() -> None:
    text = vlms.TEXT | {"cross_attention_layers": [1, 4], "vocab_size": 120}
    text = {name: value for name, value in text.items() if name != "head_dim"}
    vision = {"hidden_size": 24, "attention_heads": 4, "num_hidden_layers": 1, "num_global_layers": 1, "image_size": 16}
    vision |= {"patch_size": 8, "intermediate_size": 48, "vision_output_dim": 48, "intermediate_layers_indices": [0]}
    model = MllamaForConditionalGeneration(MllamaConfig(text_config=text, vision_config=vision, image_token_index=98))
    with pytest.raises(InputError, match="by cross-attention"), retrofit(model, prepend()):
        raise AssertionError("not reached")


def test_two_at_once_are_refused_and_two_in_turn_are_not() -> None:
    model = vlms.vlm("llava")
    with (
        retrofit(model, vtw(4)),
        pytest.raises(InputError, match="retrofitted already"),
        retrofit(model, prepend()),
    ):
        raise AssertionError("not reached")
    with retrofit(model, deep_insert(2)), retrofit(vlms.vlm("idefics3"), vtw(3)):
        cases.same(text_logits("llava", vlms.inputs("llava")), text_logits("idefics3", vlms.inputs("idefics3")))


def inputs_that(change: str) -> tuple[str, dict[str, Any], str]:
    llava = vlms.inputs("llava")
    if change == "end with a picture":
        return "llava", vlms.inputs("llava", [(11, 25, vlms.Piece(1))]), "row 0 of the prompt ends with media"
    if change == "have no ids":
        ids = llava.pop("input_ids")
        return "llava", llava | {"inputs_embeds": vlms.vlm("llava").get_input_embeddings()(ids)}, "give input_ids"
    if change == "have a mask of another width":
        return "llava", llava | {"attention_mask": torch.ones(3, 4)}, "attention_mask has 4 columns"
    if change == "have a mask for each column":
        width = llava["input_ids"].shape[1]
        return "llava", llava | {"attention_mask": torch.ones(3, 1, width, width).bool()}, "needs the 2-D"
    if change == "leave the merging to the model":
        sound = vlms.inputs("qwen2_audio", [(11, 25, vlms.Piece(1), 38)])
        alone = torch.tensor([[11, 25, vlms.MEDIA, 38]])
        return "qwen2_audio", sound | {"input_ids": alone, "attention_mask": torch.ones_like(alone)}, "merged 4 columns"
    raise AssertionError(change)


@torch.no_grad()
@pytest.mark.parametrize(
    "change",
    [
        "end with a picture",
        "have no ids",
        "have a mask of another width",
        "have a mask for each column",
        "leave the merging to the model",
    ],
)
def test_refused_are_inputs_that(change: str) -> None:
    family, given, said = inputs_that(change)
    with retrofit(vlms.vlm(family), prepend()), pytest.raises(InputError, match=said):
        vlms.vlm(family)(**given)


@torch.no_grad()
def test_a_static_cache_is_refused() -> None:
    with retrofit(vlms.vlm("llava"), vtw(4)), pytest.raises(InputError, match="cache_implementation"):
        vlms.vlm("llava").generate(**vlms.inputs("llava"), cache_implementation="static", **OPTIONS)


@torch.no_grad()
def test_words_after_a_picture_read_causally_and_a_picture_after_words_in_both_directions() -> None:
    """Gemma 3 on a cache that is filled already: what it reads in both directions stands in the call."""
    model, words, more = vlms.vlm("gemma3"), (11, 25, 38), (19, 27)
    for first, later in [((*words, vlms.Piece(4), 47), more), (words, (25, vlms.Piece(4), 47, 52))]:
        whole, start = vlms.inputs("gemma3", [first + later]), vlms.inputs("gemma3", [first])
        rest = vlms.inputs("gemma3", [later]) | {"attention_mask": whole["attention_mask"]}
        with retrofit(model, deep_insert(3)):
            cache = model(**start, use_cache=True).past_key_values
            found = model(**(rest | types_of(whole, rest)), past_key_values=cache).logits
            expected = model(**whole).logits[:, -found.shape[1] :]
        assert cases.same([found], [expected])


def types_of(whole: dict[str, Tensor], rest: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model finds a picture's columns from the start of the whole prompt."""
    return {"token_type_ids": whole["token_type_ids"]} if "pixel_values" in rest else {}


@torch.no_grad()
def test_a_further_picture_for_a_model_that_reads_both_ways_is_refused() -> None:
    first, later = vlms.inputs("gemma3", [ROW]), vlms.inputs("gemma3", [MORE])
    with retrofit(vlms.vlm("gemma3"), deep_insert(3)):
        cache = vlms.vlm("gemma3")(**first, past_key_values=DynamicCache(), use_cache=True).past_key_values
        width = first["input_ids"].shape[1] + later["input_ids"].shape[1]
        later["attention_mask"] = torch.ones(1, width, dtype=torch.long)
        with pytest.raises(InputError, match="in both directions"):
            vlms.vlm("gemma3")(**later, past_key_values=cache)


def test_pictures_that_stand_elsewhere_than_the_config_says_are_refused() -> None:
    model = vlms.fresh("llava")
    model.config.image_token_id = 97
    with retrofit(model, vtw(4)), pytest.raises(InputError, match="hold none of the tokens"):
        model.config.image_token_id = vlms.MEDIA
        model(**vlms.inputs("llava"))
