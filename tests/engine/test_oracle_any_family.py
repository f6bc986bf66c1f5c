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
from midstream.engine.reading import CACHE_NAMES
from midstream.modeling import MidstreamForCausalLM
from midstream.schedule import Schedule


@contextmanager
def _watched(layers: Any, change: Any) -> Iterator[list[Tensor]]:
    """Let `change` have the arguments of each layer; gives the attention weights of the layers, (heads, W, W) each."""
    weights: list[Tensor] = []

    def look(module: Any, args: Any, output: Any) -> None:
        weights.extend(part[0] for part in output if isinstance(part, Tensor) and part.dim() == 4)

    names = tuple(inspect.signature(layers[0].forward).parameters)

    def hook(index: int) -> Any:
        def before(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return (), change(index, dict(zip(names, args, strict=False)) | kwargs)

        return before

    handles = [layer.register_forward_pre_hook(hook(i), with_kwargs=True) for i, layer in enumerate(layers)]
    for layer in layers:
        handles += [part.register_forward_hook(look) for name, part in layer.named_children() if "att" in name]
    try:
        yield weights
    finally:
        for handle in handles:
            handle.remove()


def _full_sequence(family: str, made: MidstreamForCausalLM, row: cases.Row) -> Tensor:
    """Logits of the text columns of one row, (T, vocabulary), with positions counted over the merged sequence."""
    lm = cases.showing_lm(family)
    schedules = {name: Schedule.from_dict(part["schedule"]) for name, part in made.config.modalities.items()}
    tokens = {name: oracle.tokens_of(made, name, row) for name in schedules}
    items = oracle.merged(row, {name: [len(s[0]) for s in slots] for name, slots in tokens.items()}, list(schedules))
    text = torch.tensor([item.sense is None for item in items])
    asking = items.index(oracle.Item(None, row.asking))
    dropped: set[int] = set()
    before: list[Tensor] = []

    def states(layer: int) -> list[str]:
        return ["active" if item.sense is None else schedules[item.sense].state(layer) for item in items]

    def change(layer: int, given: dict[str, Any]) -> dict[str, Any]:
        nonlocal dropped
        name = next(iter(given))
        hidden = given[name][0]
        if layer:
            still = torch.tensor([oracle.is_still(state) for state in states(layer - 1)])
            hidden = torch.where(still[:, None], before[-1], hidden)
            hidden = oracle.write(hidden, items, tokens, schedules, layer)
        given |= {name: hidden[None], "attention_mask": mask(layer)}
        if oracle.is_previewed(schedules, layer):
            layers[layer].forward(**given | {one: None for one in CACHE_NAMES if one in given})
        looked_at = weights[-1].mean(0)[asking] if weights else None
        dropped |= oracle.drops(hidden, items, schedules, layer, dropped, looked_at)
        before.append(hidden)
        return given | {"attention_mask": mask(layer)}

    def mask(layer: int) -> Tensor:
        seen = [s in ("active", "readable") and i not in dropped for i, s in enumerate(states(layer))]
        allowed = oracle.opened(oracle.causal(seen, oracle.window_of(lm.config, layer)), items, schedules, seen)
        return torch.zeros(1, 1, *allowed.shape).masked_fill(~allowed, torch.finfo().min)

    embedded = torch.zeros(len(items), lm.get_input_embeddings().weight.shape[1])
    embedded[text] = lm.get_input_embeddings()(torch.tensor(row.ids))
    embedded = oracle.write(embedded, items, tokens, schedules, 0)
    layers = _layers(lm, made)
    with _watched(layers, change) as weights:
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
