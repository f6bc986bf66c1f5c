"""Other caches: a static one gives the same text, assisted decoding takes text back, a damaged one is refused."""

import pytest
import torch
from transformers import DynamicCache

import cases
from midstream.errors import InputError
from midstream.generating import Generating

GREEDY = {"max_new_tokens": 8, "do_sample": False}


@cases.a_quarter(0)
def test_a_static_cache_gives_what_a_dynamic_one_gives(family: str, case: str) -> None:
    made = cases.model(family, case)
    inputs = cases.collate(cases.ROWS, cases.senses(made))
    expected = made.generate(**inputs, **GREEDY)
    assert torch.equal(made.generate(**inputs, **GREEDY, cache_implementation="static"), expected)


def test_control_without_room_for_the_tokens_a_static_cache_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    made = cases.model("llama", "deep_insert_middle")
    monkeypatch.delattr(Generating, "_prepare_static_cache")
    with pytest.raises((RuntimeError, IndexError)):
        made.generate(**cases.collate(cases.ROWS, cases.senses(made)), **GREEDY, cache_implementation="static")


def test_assisted_decoding_equals_greedy() -> None:
    """Guessed tokens that are refused are taken back out of every layer, deep ones included."""
    for case in ("prepend", "deep_insert_middle", "window_middle"):
        made = cases.model("llama", case)
        inputs = cases.collate(cases.ROWS[1:2], cases.senses(made))
        greedy = made.generate(**inputs, max_new_tokens=24, do_sample=False)
        assert torch.equal(
            made.generate(**inputs, max_new_tokens=24, do_sample=False, prompt_lookup_num_tokens=3), greedy
        )


def test_a_cache_cropped_layer_by_layer_is_refused() -> None:
    made = cases.model("llama", "deep_insert_middle")
    inputs = cases.collate(cases.ROWS[:1], cases.senses(made))
    kept = DynamicCache(config=made.config.get_text_config())
    following = torch.ones(1, inputs["input_ids"].shape[1] + 1, dtype=torch.long)
    with torch.no_grad():
        made(**inputs, past_key_values=kept, use_cache=True)
        layer = kept.layers[4]
        layer.keys, layer.values = layer.keys[:, :, :-2], layer.values[:, :, :-2]
        with pytest.raises(InputError, match="start again with an empty cache"):
            made(input_ids=torch.tensor([[5]]), attention_mask=following, past_key_values=kept, use_cache=True)
