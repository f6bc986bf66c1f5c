"""What the forward of a decoder layer may be called with, and what else may stop the engine. Data and its reading.

The engine makes a layer's sequence longer. An argument that it does not know might hold one value for each text column
(a second embedding, the router states of the layer before), and would be read for the wrong token; so a layer that
reads one is refused.
"""

from typing import Any

CACHE_NAMES = ("past_key_values", "cache_params", "state")
"""What an LM's forward, and the output, call the cache."""

HIDDEN_STATES = frozenset({"hidden_states", "x", "activations", "hidden"})
"""Names of the first parameter."""

WIDENED = frozenset(
    {
        "attention_mask",
        "causal_mask",
        "mamba_attention_mask",
        "conv_mask",
        "position_ids",
        "position_embeddings",
        "alibi",
    }
)
"""The engine puts its own in place."""

EMBEDDINGS = frozenset({"original_hidden_states"})
"""The input embeddings once more, for each column; a token's is what it enters with."""

CACHES = frozenset({*CACHE_NAMES, "past_key_value", "layer_past", "use_cache", "cache_position"})

SAME_FOR_ANY_LENGTH = frozenset(
    {
        "args",
        "kwargs",
        "layer_idx",
        "output_attentions",
        "output_router_logits",
        "lang_ids",  # one a row
        "position_bias",  # MPT: of the longest sequence, counted from its end
    }
)

NEVER_GIVEN = frozenset(
    {
        "encoder_hidden_states",
        "encoder_attention_mask",
        "cross_attention_states",
        "cross_attention_mask",
        "full_text_row_masked_out_mask",
        "cross_attn_prompt",
        "self_attn_prompt",
        "codebook_idx",  # Moshi: only its depth decoder is told
        "transformer_hidden_states",  # Zamba: made inside of a layer
    }
)
"""None in a decoder that stands alone."""

UNUSED_WHEN: dict[str, tuple[str, Any]] = {
    "band_mask": ("attention_type", "original_full"),
    "from_mask": ("attention_type", "original_full"),
    "to_mask": ("attention_type", "original_full"),
    "blocked_encoder_mask": ("attention_type", "original_full"),
    "per_layer_input": ("hidden_size_per_layer_input", 0),
    "shared_kv_states": ("num_kv_shared_layers", 0),
}
"""An argument -> the setting of the config, and the value, with which the layers do not read it."""

ORDINARY = WIDENED | EMBEDDINGS | CACHES | SAME_FOR_ANY_LENGTH | NEVER_GIVEN

PECULIAR = {
    "_setup_cache": "keeps its recurrent state on its modules, where one call overwrites another's",
    "image_patch_tokens": "counts pictures of its own into the padding mask as soon as something is cached",
    "H_module": "runs the same layers several times over, so that one layer's input is no place to join at",
}
"""An attribute of a module of the LM -> why the LM cannot be driven."""


RESTARTS = frozenset({"x_proj", "x_proj_weight"})
"""Parts of a mixer (Mamba's first kind) whose scan over several columns begins at nothing, whatever state is there."""


def special(names: tuple[str, ...], config: Any) -> set[str]:
    """The arguments of a layer, of those given by name, that the engine cannot vouch for."""
    unused = {name for name, (setting, value) in UNUSED_WHEN.items() if (getattr(config, setting, None) or 0) == value}
    return set(names[1:]) - ORDINARY - unused
