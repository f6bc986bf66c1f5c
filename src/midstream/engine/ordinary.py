"""What the forward of a decoder layer may be called with. Data: a layer that reads anything else is refused.

The engine makes a layer's sequence longer. What it does not know might hold one value for each text column (a second
embedding, the router states of the layer before), and would be read for the wrong token.
"""

HIDDEN_STATES = frozenset({"hidden_states", "x", "activations"})
"""Names of the first parameter."""

WIDENED = frozenset(
    {"attention_mask", "mamba_attention_mask", "conv_mask", "position_ids", "position_embeddings", "alibi"}
)
"""The engine puts its own in place."""

CACHES = frozenset({"past_key_values", "past_key_value", "layer_past", "use_cache", "cache_position"})

SAME_FOR_ANY_LENGTH = frozenset(
    {
        "args",
        "kwargs",
        "output_attentions",
        "output_router_logits",
        "lang_ids",  # one a row
        "position_bias",  # MPT: of the longest sequence, counted from its end
    }
)

CROSS_ATTENTION = frozenset(
    {
        "encoder_hidden_states",
        "encoder_attention_mask",
        "cross_attention_states",
        "cross_attention_mask",
        "full_text_row_masked_out_mask",
        "cross_attn_prompt",
        "self_attn_prompt",
    }
)
"""None in a decoder that stands alone."""

BLOCK_SPARSE = frozenset({"band_mask", "from_mask", "to_mask", "blocked_encoder_mask"})
"""None when `attention_type` is "original_full"; allowed only then."""

ORDINARY = WIDENED | CACHES | SAME_FOR_ANY_LENGTH | CROSS_ATTENTION
