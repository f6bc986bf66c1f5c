"""The LM's cache: what it is called, who makes it, how much text it holds. Knows no schedule and no call."""

from typing import Any

from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin

from midstream.engine.anatomy import Anatomy


class State(list[Any]):
    """A state that the LM keeps as a plain list (RWKV), made so that other things can travel with it."""


def carrying(cache: Any) -> Any:
    """The same cache, able to carry other things."""
    return State(cache) if type(cache) is list else cache


def is_empty(cache: Any) -> bool:
    """Whether nothing has been read into `cache` yet, whatever kind it is."""
    if not isinstance(cache, Cache):  # a state is made when the first text is read
        return cache is None
    return int(cache.get_seq_length()) == 0 if _has_length(cache) else not cache.has_previous_state()


def text_in(cache: Any, attention_mask: Tensor | None, new: int) -> int:
    """How many text columns a cache holds that only the plain LM has filled.

    A state does not know how much it has read; there the padding mask says it, which covers old and `new` columns.
    """
    if is_empty(cache):
        return 0
    if isinstance(cache, Cache) and _has_length(cache):
        return int(cache.get_seq_length())
    return attention_mask.shape[1] - new if attention_mask is not None else 0


def _has_length(cache: Cache) -> bool:
    return not cache.layers or any(isinstance(layer, CacheLayerMixin) for layer in cache.layers)


def fresh(anatomy: Anatomy) -> Any:
    """An empty cache, or None where only the LM itself can make one."""
    return DynamicCache(config=anatomy.config) if anatomy.cache_name and not anatomy.makes_cache else None


def named(anatomy: Anatomy, cache: Any) -> dict[str, Any]:
    """The cache as the LM's forward wants it."""
    return {anatomy.cache_name: cache} if anatomy.cache_name else {}


def returned(anatomy: Anatomy, output: Any) -> Any:
    """The cache in the LM's output, able to carry other things, or None."""
    cache = getattr(output, anatomy.cache_name, None) if anatomy.cache_name else None
    if type(cache) is list:
        cache = output[anatomy.cache_name] = State(cache)
    return cache


def told_padding(anatomy: Anatomy, mask_BK: Tensor, new: int) -> dict[str, Tensor | None]:
    """What the LM's forward is told of padding, by name.

    An LM of states alone hands the mask to its layers as it is, and they want the `new` columns only.
    """
    if not anatomy.reads_padding:
        return {}
    if anatomy.counted:
        return {"attention_mask": mask_BK}
    return {"attention_mask": mask_BK[:, mask_BK.shape[1] - new :] if new > 1 else None}
