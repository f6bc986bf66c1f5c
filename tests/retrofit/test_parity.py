"""What a retrofitted model computes, beside two things that know nothing of it: layers called by hand, and Midstream's
own model around the same text weights.
"""

from typing import Any

import pytest
import torch
import vlms
from test_schedules import SCHEDULES, text_logits
from torch import Tensor
from transformers import AutoModelForCausalLM

import cases
from midstream import MidstreamForCausalLM, Modality, Schedule, deep_insert, deepstack, prepend, retrofit, vtw, window
from midstream.testing import tiny_encoder

PROMPT = vlms.PROMPTS[0]
WORDS = torch.tensor([piece for piece in PROMPT if isinstance(piece, int)])
PICTURES = [piece for piece in PROMPT if isinstance(piece, vlms.Piece)]


NOT_BY_HAND = ("qwen3_vl", "qwen3_vl_moe", "qwen3_5")
"""The first two add levels and have a test of their own; the last has layers that keep a state."""


def overheard(family: str, given: dict[str, Tensor]) -> dict[str, Any]:
    """What the model, left alone, gives its text model for one row."""
    heard: dict[str, Any] = {}
    stack = vlms.vlm(family).get_decoder()
    handle = stack.register_forward_pre_hook(lambda _, args, kwargs: heard.update(kwargs), with_kwargs=True)
    vlms.vlm(family)(**given)
    handle.remove()
    return heard


def by_hand(family: str, given: dict[str, Tensor], first: int, last: int, stacked: bool = False) -> Tensor:
    """Logits of one row's text when its media live in layers first..last-1, each layer called by itself, no cache."""
    model = vlms.vlm(family)
    stack, heard = model.get_decoder(), overheard(family, given)
    text = given["input_ids"][0] != vlms.MEDIA
    whole = heard["inputs_embeds"]
    positions = heard["position_ids"]
    if positions is None:
        positions = torch.arange(len(text))[None]
    hidden, everything = whole[:, text], torch.ones_like(text)
    for number, layer in enumerate(stack.layers):
        there = everything if first <= number < last else text
        if number == first:
            merged = whole.clone()
            merged[:, text] = hidden
            hidden = merged
        if number == last:
            hidden = hidden[:, text]
        if stacked and first < number <= first + 3:
            hidden = hidden.clone()
            hidden[:, ~text] += heard["deepstack_visual_embeds"][number - first - 1]
        kind = getattr(stack.config, "layer_types", None)
        kind = kind[number] if kind else "full_attention"
        axes = {"layer_type": kind} if family == "gemma3" else {}
        rotary = stack.rotary_emb(hidden, positions[..., there], **axes)
        mask = allowed(heard["attention_mask"], kind, there, getattr(stack.config, "sliding_window", None))
        out = layer(hidden, attention_mask=mask, position_embeddings=rotary, position_ids=None)
        hidden = out if isinstance(out, Tensor) else out[0]
    hidden = hidden if hidden.shape[1] == int(text.sum()) else hidden[:, text]
    return model.lm_head(stack.norm(hidden))[0]


def allowed(given: Any, kind: str, there: Tensor, window_size: int | None) -> Tensor:
    """The causal mask over what is there, and what the model's own mask lets be read besides, (1, 1, W, W)."""
    place = torch.arange(int(there.sum()))
    mask = place[:, None] >= place
    if kind == "sliding_attention":
        mask = mask & (place[:, None] - place < window_size)
    own = given.get(kind) if isinstance(given, dict) else given
    if own is None or own.dim() != 4:
        return mask[None, None]
    own = own[0, 0][there][:, there]
    if own.dtype == torch.bool:
        return (mask | own)[None, None]
    return torch.zeros(mask.shape).masked_fill(~mask & (own < 0), torch.finfo().min)[None, None]


def softcapped(family: str, logits: Tensor) -> Tensor:
    cap = getattr(vlms.vlm(family).config.get_text_config(), "final_logit_softcapping", None)
    return logits if cap is None else (logits / cap).tanh() * cap


@torch.no_grad()
@pytest.mark.parametrize("family", [name for name in vlms.FAMILIES if name not in NOT_BY_HAND])
def test_layers_called_by_hand_give_the_same(family: str) -> None:
    """With the model's own positions (M-RoPE too), and with its own masks where it reads in both directions."""
    given = vlms.inputs(family, [PROMPT])
    for first, last, schedule in [(0, 6, prepend()), (3, 6, deep_insert(3)), (0, 2, vtw(2)), (1, 4, window(1, 4))]:
        expected = softcapped(family, by_hand(family, given, first, last))
        with retrofit(vlms.vlm(family), schedule):
            assert cases.same(text_logits(family, given), [expected]), schedule
        with retrofit(vlms.vlm(family), deep_insert(5)):
            assert not cases.same(text_logits(family, given), [expected]), "the control"


@torch.no_grad()
def test_qwen3_vls_adds_are_deepstack() -> None:
    """By itself it enters at 0 and adds at the input of layers 1, 2, 3; which can also begin elsewhere."""
    given = vlms.inputs("qwen3_vl")
    own = text_logits("qwen3_vl", given)
    for schedule in (prepend(), deepstack(4)):
        with retrofit(vlms.vlm("qwen3_vl"), schedule):
            assert cases.same(text_logits("qwen3_vl", given), own)
    one = vlms.inputs("qwen3_vl", [PROMPT])
    for first in (0, 2):
        with retrofit(vlms.vlm("qwen3_vl"), deepstack(4, first)):
            found = text_logits("qwen3_vl", one)
        assert cases.same(found, [by_hand("qwen3_vl", one, first, 6, stacked=True)])
        assert not cases.same(found, [by_hand("qwen3_vl", one, first, 6)]), "the control: without the adds"


LIKE_OURS = ("llava", "llava_next", "llava_onevision", "idefics3", "smolvlm", "internvl")
"""Their text models are of families that stand alone, and count positions as ours do."""


def around_the_same_weights(family: str, schedule: Schedule) -> MidstreamForCausalLM:
    stack = vlms.vlm(family).get_decoder()
    lm: Any = AutoModelForCausalLM.from_config(stack.config).eval()
    lm.model.load_state_dict(stack.state_dict())
    lm.lm_head.load_state_dict(vlms.vlm(family).lm_head.state_dict())
    return MidstreamForCausalLM.from_parts(lm, image=Modality(tiny_encoder("vit"), {"kind": "linear"}, schedule))


@torch.no_grad()
@pytest.mark.parametrize("family", LIKE_OURS)
@pytest.mark.parametrize("name", ["prepend", *SCHEDULES])
def test_midstreams_own_model_says_the_same(family: str, name: str) -> None:
    """Around the same text weights, with the model's picture features as tokens."""
    small = [piece if isinstance(piece, int) else piece._replace(large=False) for piece in PROMPT]
    given = vlms.inputs(family, [small])
    schedule = SCHEDULES.get(name, prepend())
    ids, tokens = given["input_ids"][0], overheard(family, given)["inputs_embeds"][0]
    runs = tokens[ids == vlms.MEDIA].unflatten(0, (len(PICTURES), -1))
    columns = [sum(isinstance(piece, int) for piece in small[:place]) for place in (2, 6)]
    made = around_the_same_weights(family, schedule)
    slots = {"image_slots": torch.tensor([columns]), "image_tokens": runs[None, :, None]}
    ours = made(input_ids=WORDS[None], **slots).logits[0]
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False, "suppress_tokens": [vlms.MEDIA]}
    said = made.generate(input_ids=WORDS[None], **slots, **options)[0, len(WORDS) :]
    plain = text_logits(family, given)
    with retrofit(vlms.vlm(family), schedule):
        assert cases.same(text_logits(family, given), [ours])
        assert vlms.vlm(family).generate(**given, **options)[0, len(ids) :].tolist() == said.tolist()
    assert cases.same(plain, [ours]) == (name == "prepend"), "active 0..L is the model's own; nothing else is"


@torch.no_grad()
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_film_and_a_picture_in_one_prompt(family: str) -> None:
    model, film = vlms.vlm(family), 97
    ids = torch.tensor([[11, 25, *[film] * 4, 38, 95, *[vlms.MEDIA] * 4, 61, 79]])
    kinds = (ids == vlms.MEDIA).long() + 2 * (ids == film).long()
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": kinds}
    for name, number in (("", 1), ("_videos", 2)):
        given[f"pixel_values{name}"] = vlms.Piece(number).random(16, 96)
    given |= {f"{name}_grid_thw": torch.tensor([[1, 4, 4]]) for name in ("image", "video")}
    words = kinds == 0
    own = model(**given).logits[words]
    with retrofit(model, prepend()):
        assert cases.same([model(**given).logits[words]], [own])
    with retrofit(model, vtw(4)):
        assert not cases.same([model(**given).logits[words]], [own]), "the control"
