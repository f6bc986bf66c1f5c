"""The ledger against PyTorch's FLOP counter, the real cache and autograd's own keeping: ten families, every state."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, PreTrainedModel

from midstream.compat.families import tiny_config
from midstream.cost.costs import Cost
from midstream.cost.ledger import Work, ledger
from midstream.cost.parts import read_part
from midstream.cost.shapes import LMShape, read_shape
from midstream.errors import InputError
from midstream.modality import Modality
from midstream.modeling import MidstreamForCausalLM
from midstream.presets import deep_insert, deepstack, fastv, prepend, pyramid_drop, shortv, vica, window
from midstream.schedule import Schedule
from midstream.testing import tiny_encoder

FAMILIES = (
    *("llama", "opt", "gpt2", "bloom", "falcon", "gemma3", "mistral", "mixtral", "deepseek_v3", "ctrl", "lfm2"),
    *("modernbert-decoder", "camembert"),
)
SCHEDULES: dict[str, Schedule] = {
    "prepend": prepend(),
    "deep_insert": deep_insert(3),
    "window": window(1, 4),
    "deepstack": deepstack(2),
    "fastv": fastv(2, 0.5),
    "shortv": shortv((1, 3)),
    "vica": vica((0, 1, 4)),
}
ATTENTION_IN_EVERY_LAYER = frozenset(FAMILIES) - {"lfm2"}
READS = ("shortv", "vica", "fastv")
BATCH, TEXT, TOKENS = 2, 40, 32


@cache
def lm(family: str) -> PreTrainedModel:
    """With attention and experts as separate matrix products, which the counter sees."""
    model = AutoModelForCausalLM.from_config(tiny_config(family), attn_implementation="eager").float().eval()
    for config in (model.config, model.config.get_text_config()):
        config._experts_implementation = "eager"
    return model


@cache
def shape(family: str) -> LMShape:
    with torch.device("meta"):
        return read_shape(AutoModelForCausalLM.from_config(tiny_config(family)))


def on_paper(family: str, schedule: Schedule | None, **changes: Any) -> Cost:
    if schedule is None:
        return ledger(shape(family), {}, {}, Work(BATCH, TEXT, fused=False, **changes))
    width = shape(family).embedding_width if schedule.enter == 0 else shape(family).width
    part = read_part({"kind": "linear"}, width, given=(schedule.levels, TOKENS, 24))
    return ledger(shape(family), {"image": schedule}, {"image": part}, Work(BATCH, TEXT, fused=False, **changes))


def counted(family: str, schedule: Schedule, frozen: bool = True) -> tuple[int, int, int, int]:
    """FLOPs of prefill, decode step and training step as PyTorch counts them, and bytes in the real cache."""
    levels = {"layers": tuple(range(-schedule.levels, 0))}
    modality = Modality(tiny_encoder("vit"), "linear", schedule, levels)
    model = MidstreamForCausalLM.from_parts(lm(family), image=modality)
    ids = torch.randint(3, 90, (BATCH, TEXT))
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "image_slots": torch.full((BATCH, 1), 4),
        "image_features": torch.randn(BATCH, 1, schedule.levels, TOKENS, 24),
    }
    try:
        with torch.no_grad():
            with FlopCounterMode(display=False) as prefill:
                output = model(**inputs, use_cache=True)
            past = output.past_key_values
            held = sum(_bytes(layer) for layer in past.layers)
            longer = {"attention_mask": torch.ones(BATCH, TEXT + 1), "past_key_values": past, "use_cache": True}
            with FlopCounterMode(display=False) as decode:
                model(input_ids=ids[:, :1], **longer)
        model.lm.requires_grad_(not frozen)
        with FlopCounterMode(display=False) as train:
            model(**inputs, labels=ids).loss.backward()
    finally:
        model.lm.requires_grad_(False)
        model.engine.detach()
    every_row = 2 * BATCH * (TEXT - 1) * shape(family).head  # not every LM can give the last row's logits alone
    return (prefill.get_total_flops() - every_row, decode.get_total_flops(), train.get_total_flops(), held)


def _bytes(layer: Any) -> int:
    pair = getattr(layer, "keys", None), getattr(layer, "values", None)
    return sum(tensor.numel() * tensor.element_size() for tensor in pair if tensor is not None)


def figures(cost: Cost) -> tuple[int, int, int, int]:
    return cost.prefill, cost.decode, cost.train, cost.kv_bytes


def within(found: tuple[int, ...], wanted: tuple[int, ...], share: float = 0.01) -> bool:
    return all(abs(a - b) <= share * b for a, b in zip(found, wanted, strict=True))


def cases() -> list[tuple[str, str]]:
    reads = set(READS)
    return [(f, s) for f in FAMILIES for s in SCHEDULES if f in ATTENTION_IN_EVERY_LAYER or s not in reads]


@pytest.mark.parametrize(("family", "name"), cases())
def test_paper_agrees_with_the_counter_and_the_cache(family: str, name: str) -> None:
    wanted = counted(family, SCHEDULES[name])
    assert within(figures(on_paper(family, SCHEDULES[name])), wanted)


@pytest.mark.parametrize("family", ["llama", "opt"])
def test_a_preview_costs_the_keys_of_all_that_might_be_dropped(family: str) -> None:
    schedule = pyramid_drop((2, 4), 0.5)
    wanted = counted(family, schedule)
    assert within(figures(on_paper(family, schedule)), wanted)
    assert not within(figures(on_paper(family, pyramid_drop((2, 4), 0.5, "norm"))), wanted)


@pytest.mark.parametrize("family", ["llama", "mixtral"])
def test_a_trained_lm_pays_for_its_weights(family: str) -> None:
    for name in ("prepend", "deep_insert"):
        found = on_paper(family, SCHEDULES[name], frozen=False)
        wanted = counted(family, SCHEDULES[name], frozen=False)
        assert within(figures(found), wanted) and found.weight_gradients > 0
        assert on_paper(family, SCHEDULES[name]).weight_gradients == 0


def test_the_control_a_neighbouring_layer_is_another_cost() -> None:
    wanted = counted("llama", deep_insert(3))
    assert not within(figures(on_paper("llama", deep_insert(2))), wanted)
    assert not within(figures(on_paper("llama", prepend())), wanted)


def test_the_control_experts_that_a_token_is_not_sent_to_do_not_count() -> None:
    dense = [replace(layer, matmul=layer.matmul + 1000) for layer in shape("mixtral").layers]
    part = read_part({"kind": "linear"}, 32, given=(1, TOKENS, 24))
    wrong = ledger(
        replace(shape("mixtral"), layers=tuple(dense)),
        {"image": prepend()},
        {"image": part},
        Work(BATCH, TEXT, fused=False),
    )
    assert not within(figures(wrong), counted("mixtral", prepend()))


@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_are_exact(family: str) -> None:
    assert shape(family).parameters == sum(parameter.numel() for parameter in lm(family).parameters())
    assert sum(layer.parameters for layer in shape(family).layers) < shape(family).parameters


def test_text_alone_has_no_backward() -> None:
    cost = on_paper("llama", None)
    assert cost.activation_gradients == cost.weight_gradients == cost.connector == cost.saved_bytes == 0
    assert cost.train == cost.forward > cost.prefill > 0


@pytest.mark.parametrize("family", ["llama", "opt", "qwen2"])
def test_saved_bytes_are_an_estimate_of_what_autograd_keeps(family: str) -> None:
    from transformers import AutoConfig

    sizes = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512}
    own = {"ffn_dim": 512, "word_embed_proj_dim": 128} if family == "opt" else {"num_key_value_heads": 4}
    config = AutoConfig.for_model(family, vocab_size=99, **sizes, **own)
    model = AutoModelForCausalLM.from_config(config).eval()
    tokens, kept = 256, {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = (tensor.untyped_storage().nbytes(), tensor)  # alive: no reuse
        return tensor

    joined = MidstreamForCausalLM.from_parts(model, image=Modality(tiny_encoder("vit"), "linear", deep_insert(1)))
    weights = {parameter.untyped_storage().data_ptr() for parameter in joined.parameters()}
    ids = torch.randint(3, 90, (1, 64))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        features = torch.randn(1, 1, 1, tokens, 24)
        joined(input_ids=ids, labels=ids, image_slots=torch.tensor([[3]]), image_features=features)
    found = sum(size for key, (size, _) in kept.items() if key not in weights)
    part = read_part({"kind": "linear"}, 128, given=(1, tokens, 24))
    said = ledger(read_shape(model), {"image": deep_insert(1)}, {"image": part}, Work(1, 64)).saved_bytes
    assert 0.8 < said / found < 1.1
    nothing_above_the_entry = ledger(read_shape(model), {"image": deep_insert(3)}, {"image": part}, Work(1, 64))
    assert not 0.8 < nothing_above_the_entry.saved_bytes / found < 1.1


def test_logits_are_made_for_targets_only() -> None:
    few, all_ = (on_paper("llama", deep_insert(3), targets=targets) for targets in (4, None))
    spared = 2 * BATCH * (TEXT - 4) * shape("llama").head
    assert (all_.forward - few.forward, all_.activation_gradients - few.activation_gradients) == (spared, spared)
    assert few.prefill == all_.prefill and few.saved_bytes < all_.saved_bytes


def test_bad_amounts_are_refused() -> None:
    with pytest.raises(InputError, match=r"targets is 65; it must be one of 1\.\.64"):
        Work(text=64, targets=65)
    for wrong in ({"batch": 0}, {"text": -3}):
        with pytest.raises(InputError, match="at least 1"):
            Work(**wrong)
    with pytest.raises(InputError, match="layer 9"):
        on_paper("llama", deep_insert(9))


def test_what_is_parked_costs_nothing_and_what_is_read_two_projections() -> None:
    layers = on_paper("llama", SCHEDULES["vica"]).layers
    text = on_paper("llama", None).layers
    assert layers[2].prefill == layers[5].prefill == text[2].prefill
    assert text[1].prefill < layers[1].prefill < on_paper("llama", prepend()).layers[1].prefill
    states: Mapping[int, str] = {layer: SCHEDULES["vica"].state(layer) for layer in range(6)}
    assert [states[layer] for layer in (1, 2, 5)] == ["readable", "parked", "absent"]
