"""Types of decoder layers: which mask each reads, and whether its cache has a length. Data; knows no model.

The names are those of `config.layer_types` in Transformers. One more is ours: `skipped`, a layer that the LM passes by
when there is text alone (cross-attention to pictures of its own).
"""

from collections.abc import Callable
from typing import Any

from transformers.masking_utils import (
    LAYER_PATTERN_TO_MASK_FUNCTION_MAPPING,
    create_causal_mask,
    create_recurrent_attention_mask,
    create_sliding_window_causal_mask,
)

Mask = Callable[..., Any]


def _no_mask(**_: Any) -> None:
    return None


MASKS: dict[str, Mask] = {
    **{kind: mask for kind, mask in LAYER_PATTERN_TO_MASK_FUNCTION_MAPPING.items() if callable(mask)},
    "hybrid": create_causal_mask,
    "hybrid_sliding": create_sliding_window_causal_mask,
    "mlp": _no_mask,
    "moe": _no_mask,
    "skipped": _no_mask,
}
"""Layer type -> how Transformers builds its `attention_mask` from a 2-D padding mask."""

OTHER_MASKS: dict[str, Mask] = {
    "mamba_attention_mask": create_recurrent_attention_mask,
    "conv_mask": create_recurrent_attention_mask,
}
"""Other arguments of a layer's forward that hold a mask, whatever the layer's type."""

TWO_MASKS: dict[str, Mask] = {"attention_mask": create_recurrent_attention_mask, "causal_mask": create_causal_mask}
"""The masks of a `hybrid` layer that names the causal one apart (Zamba)."""

UNCOUNTED = frozenset(kind for kind, mask in MASKS.items() if mask in (create_recurrent_attention_mask, _no_mask))
"""Layer types that keep a state or nothing: their cache has no length."""

STATEFUL = frozenset(kind for kind, mask in MASKS.items() if mask is create_recurrent_attention_mask) | {
    "hybrid",
    "hybrid_sliding",
}
"""Layer types that fold what they have read into a state: padding behind a token cannot be masked afterwards."""

UNMIXED = frozenset({"mlp", "moe", "skipped"})
"""Layer types in which no column reads another."""

KEEPS_ALL = frozenset({"full_attention", "indexed_attention", "minimax_m3_sparse", "hybrid"})
"""Layer types whose cache holds every key; the others that are counted keep a window."""


def kinds_of(config: Any, layers: int) -> tuple[str, ...]:
    """The type of each layer, by the rules of Transformers' own `create_masks_for_generate`."""
    skipped = set(getattr(config, "cross_attention_layers", None) or ())
    kinds = getattr(config, "layer_types", None)
    if kinds is None and getattr(config, "sliding_window", None) is not None:
        kinds = ("sliding_attention",) * layers
    elif kinds is None and getattr(config, "attention_chunk_size", None) is not None:
        kinds = ("chunked_attention",) * layers
    elif kinds is None:
        kinds = ("full_attention",) * layers
    return tuple("skipped" if layer in skipped else kind for layer, kind in enumerate(kinds))
