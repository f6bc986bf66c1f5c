"""The text below the entry layer, read once and used for many pictures.

Below the lowest entry layer the text runs alone. Its hidden states there, and its keys and values in the lower layers,
are the same whatever the picture shows; so a second picture with the same prompt costs the encoder, the connector and
the layers from the entry on:

    read = model.read(**inputs)
    model.generate(**inputs_with_another_picture, read=read)

Owns what is kept and whether it may be used. Knows no encoder and no connector.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from midstream.engine import Cargo, Engine
from midstream.engine.skipping import known, reached
from midstream.errors import InputError


@dataclass(frozen=True, slots=True)
class ReadText:
    """What the layers below the entry make of a batch of texts.

    Args:
        layer: the lowest entry layer.
        input_ids: (B, T).
        attention_mask: (B, T) of bool.
        slots: where tokens will stand, and how many in a slot: name -> ((B, S), K). Position ids depend on it.
        states_BTD: the text at the input of `layer`.
        cache: keys and values (or recurrent states) of the layers below.
    """

    layer: int
    input_ids: Tensor
    attention_mask: Tensor
    slots: Mapping[str, tuple[Tensor, int]]
    states_BTD: Tensor
    cache: Any

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        engine: Engine,
        run: Callable[..., Any],
        input_ids: Tensor,
        attention_mask: Tensor | None,
        cargo: Mapping[str, Cargo],
    ) -> "ReadText":
        """Run the layers below the entry.

        Args:
            run: the model's forward, given a cache.

        Raises:
            InputError: something enters at layer 0, so that no layer sees text alone.
        """
        lowest = min(engine.schedules.items(), key=lambda item: item[1].enter)
        if (layer := lowest[1].enter) == 0:
            raise InputError(f"{lowest[0]} enters at layer 0, so there is no layer below it to read the text once in")
        cache = DynamicCache(config=engine.anatomy.config)
        states_BTD = reached(engine, layer, lambda: run(past_key_values=cache, use_cache=True))
        return cls(layer, input_ids, _mask(attention_mask, input_ids), _slots(cargo), states_BTD, cache)

    def begin(
        self,
        engine: Engine,
        lm: PreTrainedModel,
        run: Callable[[], Any],
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        cargo: Mapping[str, Cargo],
    ) -> Any:
        """The forward pass `run`, begun at the entry layer; its cache holds what all layers made.

        Raises:
            InputError: the text or its slots are not those that were read, or there is no cache to go on with.
        """
        copies = self._copies(input_ids, attention_mask, cargo)
        with known(engine, lm, self.layer, self.states_BTD.repeat_interleave(copies, dim=0)):
            output = run()
        cache = getattr(output, "past_key_values", None)
        if cache is None:
            raise InputError("a text that was read before goes on with a cache; generate with use_cache=True")
        lower = deepcopy(self.cache)
        if copies > 1:
            lower.batch_repeat_interleave(copies)
        cache.layers[: self.layer] = lower.layers[: self.layer]
        return output

    def _copies(self, input_ids: Tensor | None, attention_mask: Tensor | None, cargo: Mapping[str, Cargo]) -> int:
        """How often each row comes (beams), when everything is as it was read."""
        if input_ids is None or input_ids.shape[1] != self.input_ids.shape[1] or len(input_ids) % len(self.input_ids):
            given = None if input_ids is None else tuple(input_ids.shape)
            raise InputError(
                f"the text that was read is {tuple(self.input_ids.shape)}, this one is {given}; read it anew"
            )
        copies = len(input_ids) // len(self.input_ids)
        mask, slots = _mask(attention_mask, input_ids), _slots(cargo)
        same = (
            torch.equal(input_ids, self.input_ids.repeat_interleave(copies, 0))
            and torch.equal(mask, self.attention_mask.repeat_interleave(copies, 0))
            and slots.keys() == self.slots.keys()
            and all(
                torch.equal(at, self.slots[name][0].repeat_interleave(copies, 0)) and count == self.slots[name][1]
                for name, (at, count) in slots.items()
            )
        )
        if not same:
            raise InputError("the text, its padding or its slots are not those that were read; read it anew")
        return copies


_READ: ContextVar[ReadText | None] = ContextVar("midstream_read", default=None)


@contextmanager
def beginning_with(read: ReadText | None) -> Iterator[None]:
    """Let first forward passes in this context begin with what was read."""
    token = _READ.set(read)
    try:
        yield
    finally:
        _READ.reset(token)


def was_read() -> ReadText | None:
    """What first forward passes in this context begin with; a compiled graph begins at its beginning."""
    return None if torch.compiler.is_compiling() else _READ.get()


def _mask(attention_mask: Tensor | None, input_ids: Tensor) -> Tensor:
    return torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()


def _slots(cargo: Mapping[str, Cargo]) -> dict[str, tuple[Tensor, int]]:
    return {name: (load.slots_BS, load.tokens_BSVKD.shape[3]) for name, load in cargo.items()}
