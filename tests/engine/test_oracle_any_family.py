"""The oracle with Transformers' own layers, for every LM family: all items in every layer, masks written by hand.

The LM runs by itself on the whole merged sequence; hand-made hooks only overwrite tokens and replace masks.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import oracle
import pytest
import torch
from torch import Tensor

import cases
from midstream.modeling import MidstreamForCausalLM
from midstream.schedule import Schedule


@contextmanager
def _watched(layers: Any, change: Any) -> Iterator[None]:
    names = tuple(inspect.signature(layers[0].forward).parameters)

    def hook(index: int) -> Any:
        def before(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return (), change(index, dict(zip(names, args, strict=False)) | kwargs)

        return before

    handles = [layer.register_forward_pre_hook(hook(i), with_kwargs=True) for i, layer in enumerate(layers)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _full_sequence(family: str, made: MidstreamForCausalLM, row: cases.Row) -> Tensor:
    """Logits of the text columns of one row, (T, vocabulary), with positions counted over the merged sequence."""
    lm = cases.plain_lm(family)
    schedules = {name: Schedule.from_dict(part["schedule"]) for name, part in made.config.modalities.items()}
    tokens = {name: oracle.tokens_of(made, name, row) for name in schedules}
    items = oracle.merged(row, {name: [len(s[0]) for s in slots] for name, slots in tokens.items()}, list(schedules))
    text = torch.tensor([item.sense is None for item in items])

    def change(layer: int, given: dict[str, Any]) -> dict[str, Any]:
        live = [item.sense is None or schedules[item.sense].is_live(layer) for item in items]
        allowed = oracle.causal(live, oracle.window_of(lm.config, layer))
        given["attention_mask"] = torch.zeros(1, 1, *allowed.shape).masked_fill(~allowed, torch.finfo().min)
        if layer:
            given["hidden_states"] = oracle.overwrite(given["hidden_states"][0], items, tokens, schedules, layer)[None]
        return given

    embedded = torch.zeros(len(items), lm.get_input_embeddings().weight.shape[1])
    embedded[text] = lm.get_input_embeddings()(torch.tensor(row.ids))
    embedded = oracle.overwrite(embedded, items, tokens, schedules, 0)
    with _watched(_layers(lm, made), change):
        return lm(inputs_embeds=embedded[None], position_ids=torch.arange(len(items))[None]).logits[0, text]


def _layers(lm: Any, made: MidstreamForCausalLM) -> list[Any]:
    """The layers of the plain LM, by the names they have in the model's."""
    modules, names = dict(lm.named_modules()), {id(module): name for name, module in made.lm.named_modules()}
    return [modules[names[id(layer)]] for layer in made.engine.anatomy.layers]


@torch.no_grad()
@cases.every_case
def test_fast_path_equals_the_full_sequence(family: str, case: str) -> None:
    made = cases.model(family, case)
    fast = cases.text_logits(made, cases.collate(cases.ROWS, cases.senses(made)))
    assert cases.same(fast, [_full_sequence(family, made, row) for row in cases.ROWS])


@torch.no_grad()
@pytest.mark.parametrize("family", ["gemma3_text", "gpt2", "phi3"])
def test_control_tokens_that_are_not_blocked_below_are_noticed(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cases.model(family, "deep_insert_middle")
    fast = cases.text_logits(made, cases.collate(cases.ROWS, cases.senses(made)))
    right = oracle.causal
    monkeypatch.setattr(oracle, "causal", lambda live, window: right([True] * len(live), window))
    assert not cases.same(fast, [_full_sequence(family, made, row) for row in cases.ROWS])
