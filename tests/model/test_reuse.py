"""A text that was read once gives every picture the answer it would have had; another text is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import cases
from midstream.errors import InputError
from midstream.modeling import MidstreamForCausalLM

GREEDY = {"max_new_tokens": 5, "do_sample": False}
BELOW = [pair for pair in cases.FAMILY_BY_CASE if pair[1] in ("deep_insert_middle", "ep_alm", "two_senses", "own_slot")]


def _other_pictures(made: MidstreamForCausalLM, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    other = {
        f"{name}_pixel_values": torch.randn(inputs[f"{name}_pixel_values"].shape, generator=generator)
        for name in cases.senses(made)
    }
    return inputs | other


@pytest.mark.parametrize(("family", "case"), BELOW)
def test_another_picture_gets_the_answer_it_would_have_had(family: str, case: str) -> None:
    made = cases.model(family, case)
    inputs = cases.collate(cases.ROWS, cases.senses(made))
    read = made.read(**inputs)
    for given in (inputs, _other_pictures(made, inputs)):
        for beams in (1, 3):
            options = {**GREEDY, "num_beams": beams, "return_dict_in_generate": True, "output_logits": True}
            found, expected = made.generate(**given, read=read, **options), made.generate(**given, **options)
            assert torch.equal(found.sequences, expected.sequences)
            assert all(
                torch.allclose(a, b, **cases.TOLERANCE) for a, b in zip(found.logits, expected.logits, strict=True)
            )


def test_layers_below_the_entry_do_not_run_again() -> None:
    made = cases.model("llama", "deep_insert_middle")
    inputs = cases.collate(cases.ROWS, ["image"])
    read, widths = made.read(**inputs), []
    layers = made.engine.anatomy.layers
    handles = [layer.mlp.register_forward_pre_hook(lambda _, args: widths.append(args[0].shape[1])) for layer in layers]
    made.generate(**inputs, read=read, max_new_tokens=1, do_sample=False)
    again = len(widths)
    made.generate(**inputs, max_new_tokens=1, do_sample=False)
    for handle in handles:
        handle.remove()
    assert again == len(layers) - made.engine.schedules["image"].enter
    assert len(widths) - again == len(layers)


Change = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda given: given | {"input_ids": given["input_ids"].roll(1, 1)}, "not those that were read"),
        (lambda given: given | {"image_slots": given["image_slots"].clamp(max=2)}, "not those that were read"),
        (lambda given: {k: v for k, v in given.items() if "image" not in k}, "not those that were read"),
        (
            lambda given: {k: v[:, 1:] if v.dim() == 2 and "slots" not in k else v for k, v in given.items()},
            "read it anew",
        ),
        (lambda given: given | {"use_cache": False}, "use_cache=True"),
    ],
    ids=["text", "slots", "nothing", "length", "no cache"],
)
def test_what_was_not_read_is_refused(change: Change, words: str) -> None:
    made = cases.model("llama", "deep_insert_middle")
    inputs = cases.collate(cases.ROWS, ["image"])
    del inputs["asking_columns"]
    read = made.read(**inputs)
    with pytest.raises(InputError, match=words):
        made.generate(**change(inputs), read=read, **GREEDY)
    plain = cases.text_logits(made, inputs)
    assert cases.same(cases.text_logits(made, inputs), plain), "a refused call leaves nothing behind"


def test_where_tokens_enter_at_the_bottom_there_is_nothing_to_read() -> None:
    made = cases.model("llama", "prepend")
    with pytest.raises(InputError, match="image enters at layer 0"):
        made.read(**cases.collate(cases.ROWS, ["image"]))
