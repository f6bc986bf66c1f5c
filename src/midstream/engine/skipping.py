"""Runs a part of a decoder: up to a layer, or from a layer on with hidden states that are known already.

Below the lowest entry layer the text runs alone, and with a frozen LM its hidden states there are constants of the
text. `reached` computes them; `known` lets a call begin with them:

    states_BTD = reached(engine, layer, lambda: model(**batch))     layers 0..layer-1 run, nothing else does
    with known(engine, lm, layer, states_BTD):
        model(**batch)                                              layers layer..L-1 run

The LM's own forward makes embeddings, masks and rotary embeddings as ever; in `known` the layers below hand on what
they are given, and the last of them hands on the states. They write nothing to a cache; who wants to decode after such
a call gives the cache the lower layers of one that `reached` filled, which are as constant as the states:

    reached(engine, layer, lambda: model(**batch, past_key_values=lower, use_cache=True))
    ...
    cache.layers[:layer] = deepcopy(lower.layers[:layer])       after the prefill that began at `layer`

Only inside these contexts do the layers have a forward of their own, and it asks a context variable: other threads go
their ordinary way. In this thread every forward of the LM is parted. Knows no schedule, no file and no training.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock
from types import MethodType
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from midstream.engine.engine import Engine
from midstream.engine.leaving import Reached
from midstream.errors import InputError


@dataclass(frozen=True, slots=True)
class _Part:
    """What of the decoder runs in this call: everything below `layer`, or everything from it on."""

    engine: Engine
    layer: int
    states_BTD: Tensor | None = None


_PART: ContextVar[_Part | None] = ContextVar("midstream_part", default=None)
_LOCK = Lock()
_USERS: WeakKeyDictionary[nn.Module, list[Any]] = WeakKeyDictionary()
_EXTRAS: WeakKeyDictionary[nn.Module, int | None] = WeakKeyDictionary()
"""How many values a layer returns beside the hidden states; None for a layer that returns them bare."""


def reached(engine: Engine, layer: int, run: Callable[[], Any]) -> Tensor:
    """The hidden states at the input of `layer`, (B, T, D), before any token joins there; later layers do not run.

    Args:
        engine: the engine of the LM that `run` calls.
        layer: 1..L-1; at or below the lowest entry layer these are states of the text alone.
        run: a forward pass.
    """
    with _parted(_Part(engine, layer), layer - 1):
        try:
            run()
        except Reached as end:
            return _hidden(end.found[0])
    raise AssertionError(f"the forward pass did not come to layer {layer}")


@contextmanager
def known(engine: Engine, lm: PreTrainedModel, layer: int, states_BTD: Tensor) -> Iterator[None]:
    """Let the forward passes of an LM begin at `layer` with these hidden states.

    Args:
        engine: what drives the LM.
        lm: the LM itself.
        layer: 1..L-1, at or below the lowest entry layer.
        states_BTD: what `reached` gave for the same text; cast to the dtype of the LM.

    Raises:
        InputError: the states are for a text of another shape (when the pass runs).
    """
    _learn_form(engine, lm)
    with _parted(_Part(engine, layer, states_BTD), *range(layer)):
        yield


@contextmanager
def _parted(part: _Part, *numbers: int) -> Iterator[None]:
    """Layers `numbers` ask `part` what to do while this lasts."""
    layers = [part.engine.anatomy.layers[number] for number in numbers]
    _swap_in(layers)
    token = _PART.set(part)
    try:
        yield
    finally:
        _PART.reset(token)
        _swap_out(layers)


def _swap_in(layers: list[nn.Module]) -> None:
    with _LOCK:
        for layer in layers:
            if layer in _USERS:
                _USERS[layer][0] += 1
                continue
            own = vars(layer).get("forward")  # Accelerate's, for one
            _USERS[layer] = [1, own, own or type(layer).forward.__get__(layer)]
            layer.forward = MethodType(_forward, layer)


def _swap_out(layers: list[nn.Module]) -> None:
    with _LOCK:
        for layer in layers:
            _USERS[layer][0] -= 1
            if not _USERS[layer][0]:
                _, own, _ = _USERS.pop(layer)
                del layer.forward
                if own is not None:
                    layer.forward = own


def _forward(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """The forward of a layer while some call is parted."""
    part, users = _PART.get(), _USERS.get(layer)
    original = users[2] if users else layer.forward  # swapped out by another thread since this forward was looked up
    if part is None or layer not in part.engine.anatomy.layers:  # in another thread, or another LM
        return original(*args, **kwargs)
    number = part.engine.anatomy.layers.index(layer)
    if part.states_BTD is None:
        if number != part.layer - 1:
            return original(*args, **kwargs)
        raise Reached(original(*args, **kwargs))
    if number >= part.layer:
        return original(*args, **kwargs)
    names = part.engine.anatomy.arguments[number]
    hidden_BTD = args[0] if args else kwargs[names[0]]
    if number == part.layer - 1:
        hidden_BTD = _fitting(part.states_BTD, hidden_BTD)
    extras = _EXTRAS[part.engine.anatomy.stack]
    return hidden_BTD if extras is None else (hidden_BTD, *[None] * extras)


def _fitting(states_BTD: Tensor, hidden_BTD: Tensor) -> Tensor:
    if states_BTD.shape[:2] != hidden_BTD.shape[:2]:
        raise InputError(
            f"the known states are for {tuple(states_BTD.shape[:2])} (rows, columns) of text, "
            f"but the text is {tuple(hidden_BTD.shape[:2])}; compute them for this text"
        )
    return states_BTD.to(hidden_BTD)


def _hidden(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


@torch.no_grad()
def _learn_form(engine: Engine, lm: PreTrainedModel) -> None:
    """Whether layers return the hidden states bare or in a tuple: one token through the first of them tells."""
    stack = engine.anatomy.stack
    if stack in _EXTRAS:
        return
    ids = torch.zeros(1, 1, dtype=torch.long, device=next(engine.anatomy.embedding.parameters()).device)
    with _parted(_Part(engine, 1), 0):
        try:
            lm(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
        except Reached as end:
            _EXTRAS[stack] = None if isinstance(end.found[0], Tensor) else len(end.found[0]) - 1
