"""Keys, values and attention of single tokens, got out of an unmodified decoder layer. Knows no schedule.

A layer puts its keys and values into the cache it is given, after norms, projections and rotary embeddings of its own.
So a cache that keeps them and ends the layer there gives the keys and values of any tokens for those projections' cost
(`keys_and_values`), and a cache that adds tokens to what the layer brings lets text read tokens that are no part of
the layer's sequence (`Readers`). Attention weights are seen where the layer calls softmax (`attention_weights`).
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from midstream.engine.leaving import Reached
from midstream.errors import InputError

CACHE_NAMES = ("past_key_values", "past_key_value", "layer_past")
"""What layers call their cache."""

QUERY_PROJECTION = "q_proj"
"""A projection that serves queries alone: it is spared where only keys and values are wanted."""

_QUERIES_SPARED: ContextVar[int] = ContextVar("midstream_queries_spared", default=0)
"""Of how many tokens; 0 for no sparing."""


class _Stop:
    """A cache that ends the layer as soon as it brings keys and values."""

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> Any:
        """Called by the layer's attention."""
        raise Reached(keys, values)

    def get_seq_length(self, *_: Any) -> int:
        """As of an empty cache."""
        return 0


class Readers:
    """A cache for one layer whose sequence lacks tokens that it shall read.

    Args:
        cache: the real one, or None; it is given all keys and values.
        keys_BHRD: keys of the tokens that are read.
        values_BHRD: their values.
        index_BW: for each key of the layer, its place in `[what the layer brings | what is read]`.
    """

    def __init__(self, cache: Any, keys_BHRD: Tensor, values_BHRD: Tensor, index_BW: Tensor) -> None:
        self._cache, self._read, self._index_BW = cache, (keys_BHRD, values_BHRD), index_BW

    def update(self, keys: Tensor, values: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Weave the read tokens in, then do what the real cache does."""
        woven = [self._weave(own, read) for own, read in zip((keys, values), self._read, strict=True)]
        return tuple(woven) if self._cache is None else self._cache.update(*woven, *args, **kwargs)

    def _weave(self, own_BHQD: Tensor, read_BHRD: Tensor) -> Tensor:
        both = torch.cat([own_BHQD, read_BHRD.to(own_BHQD.dtype)], dim=-2)
        index = self._index_BW[:, None, :, None].expand(-1, both.shape[1], -1, both.shape[-1])
        return both.gather(2, index)

    def get_seq_length(self, *args: Any) -> int:
        """Of the real cache."""
        return 0 if self._cache is None else self._cache.get_seq_length(*args)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._cache, name)


class _Given:
    """A cache that answers with keys and values that are known already, whatever the layer brings."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self._known = keys, values

    def update(self, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Called by the layer's attention."""
        return self._known

    def get_seq_length(self, *_: Any) -> int:
        """As of an empty cache."""
        return 0


def keys_and_values(layer: nn.Module, bound: Mapping[str, Any], width: int) -> tuple[Tensor, Tensor]:
    """Keys and values that `layer` makes of the `width` hidden states in its arguments, (B, heads, W, d) each.

    Raises:
        InputError: the layer brings no keys and values to a cache.
    """
    token = _QUERIES_SPARED.set(width)
    try:
        layer.forward(**{**bound, cache_name(layer, bound): _Stop(), "attention_mask": None})
    except Reached as reached:
        keys, values = reached.found
        return keys, values
    finally:
        _QUERIES_SPARED.reset(token)
    raise InputError(f"{type(layer).__name__} puts no keys into a cache, so its tokens cannot be read without queries")


def attention_weights(
    layer: nn.Module, bound: Mapping[str, Any], keys: Tensor, values: Tensor, mask_B11K: Tensor
) -> Tensor:
    """How the one query of the hidden states in `bound` attends to given keys, mean over heads, (B, K).

    Raises:
        InputError: the layer calls no softmax that can be seen.
    """
    try:
        with _Softmax(keys.shape[-2]):
            layer.forward(**{**bound, cache_name(layer, bound): _Given(keys, values), "attention_mask": mask_B11K})
    except Reached as reached:
        weights = reached.found[0][..., : keys.shape[-2]]  # attention sinks come after the keys
        # heads may come on an axis of their own, as so many queries, or folded into the rows
        return weights.reshape(mask_B11K.shape[0], -1, keys.shape[-2]).mean(1)
    raise InputError(f"{type(layer).__name__} shows no attention weights; keep tokens by norm, even or random instead")


def cache_name(layer: nn.Module, bound: Mapping[str, Any]) -> str:
    """Under which name `layer` was given its cache.

    Raises:
        InputError: under none that is known.
    """
    if name := next((name for name in CACHE_NAMES if name in bound), None):
        return name
    raise InputError(f"{type(layer).__name__} takes no cache, so its tokens cannot be read without queries")


def spare_queries(layer: nn.Module) -> list[Any]:
    """Put hooks on a layer's query projection that skip its work while only keys and values are wanted.

    Returns:
        their handles.
    """
    handles: list[Any] = []
    for name, module in layer.named_modules():
        if name.rpartition(".")[2] == QUERY_PROJECTION:
            handles.append(module.register_forward_pre_hook(_one_query))
            handles.append(module.register_forward_hook(_stand_ins))
    return handles


def _one_query(module: nn.Module, args: tuple[Any, ...]) -> Any:
    width = _QUERIES_SPARED.get()
    return (args[0][:, :1], *args[1:]) if width and args[0].dim() == 3 and args[0].shape[1] == width else None


def _stand_ins(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Any:
    """As many as the layer reckons with; nobody reads them."""
    width = _QUERIES_SPARED.get()
    return output.expand(-1, width, -1) if width and output.dim() == 3 and output.shape[1] == 1 else None


class _Softmax(TorchFunctionMode):
    """Ends the layer at its softmax over so many keys (and a sink, perhaps), with the weights.

    Experts are chosen by a softmax too, and JetMoE chooses them before it attends.
    """

    def __init__(self, keys: int) -> None:
        super().__init__()
        self._widths = (keys, keys + 1)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is nn.functional.scaled_dot_product_attention:
            raise Reached(_weights(*args, **kwargs))
        given = func(*args, **kwargs)
        softmax = func in (nn.functional.softmax, torch.softmax, Tensor.softmax)
        if softmax and given.dim() > 2 and given.shape[-1] in self._widths:
            raise Reached(given)
        return given


def _weights(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, scale: float | None = None, **_: Any
) -> Tensor:
    """The weights inside `scaled_dot_product_attention`."""
    key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scores = query @ key.mT * (scale if scale is not None else query.shape[-1] ** -0.5)
    if attn_mask is None:
        return scores.softmax(-1)
    return (
        scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    ).softmax(-1)
