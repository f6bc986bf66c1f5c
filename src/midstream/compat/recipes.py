"""Tiny-config recipes for every family that Transformers registers for causal LM. Data; builds nothing.

A recipe is a config class shrunk by name: `STANDARD` lists the names that sizes go by, and each is set where the class
declares it, in nested configs too. `SPECIAL` holds what a family needs beside that.
"""

from typing import Any

LARGEST = 4_000_000
"""Parameters a tiny model may have."""

STANDARD: dict[str, Any] = (
    {"vocab_size": 99, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    | dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"), 6)
    | dict.fromkeys(("num_decoder_layers", "encoder_layers", "num_encoder_layers"), 6)
    | dict.fromkeys(("num_key_value_heads",), 2)
    | dict.fromkeys(("hidden_size", "n_embd", "d_model", "emb_dim", "embedding_size"), 32)
    | dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), 4)
    | dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads", "index_n_heads"), 4)
    | dict.fromkeys(("num_decoder_attention_heads", "num_encoder_attention_heads"), 4)
    | dict.fromkeys(("head_dim", "v_head_dim", "qk_rope_head_dim", "qk_nope_head_dim", "index_head_dim"), 8)
    | dict.fromkeys(("intermediate_size", "ffn_dim", "d_inner", "dff", "dim_ff", "n_inner", "ffn_hidden_size"), 64)
    | dict.fromkeys(("decoder_ffn_dim", "encoder_ffn_dim", "dense_intermediate_size", "intermediate_size_mlp"), 64)
    | dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"), 32)
    | dict.fromkeys(("expert_ffn_hidden_size", "moe_shared_expert_intermediate_size"), 32)
    | dict.fromkeys(("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"), 4)
    | dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k"), 2)
    | dict.fromkeys(("n_group", "topk_group", "first_k_dense_replace"), 1)
    | dict.fromkeys(("q_lora_rank", "kv_lora_rank", "o_lora_rank"), 16)
    | dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads", "linear_num_heads"), 4)
    | dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "linear_head_dim", "rotary_dim"), 8)
    | dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size"), 8)
    | dict.fromkeys(("mamba_chunk_size", "chunk_size"), 8)
    | dict.fromkeys(("max_position_embeddings", "n_positions", "max_target_positions", "max_seq_len"), 256)
    | dict.fromkeys(("sliding_window", "attention_chunk_size", "window_size", "attention_window_size"), 8)
    | dict.fromkeys(("image_size", "patch_size"), 16)
    | dict.fromkeys(("sliding_window_size", "swa_head_dim", "swa_v_head_dim"), 8)
)
"""Names of sizes, and what they are set to in a config class that declares them."""

ENCODER = {"is_decoder": True}
"""Families that were made as encoders and are causal only when told so."""

ROPE = {"rope_type": "default", "rope_theta": 10000.0}

PLACEHOLDERS = {"image_token_id": 96, "video_token_id": 97, "audio_token_id": 98}

PER_LAYER = {"vocab_size_per_layer_input": 99, "hidden_size_per_layer_input": 8}

GEMMA4_VISION = {"mm_embed_dim": 32, "mm_posemb_size": 16, "output_proj_dims": 32}

GEMMA4 = {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0, "global_head_dim": 8}
"""As the large ones; the small ones (E2B, E4B) read a second embedding at each layer, and are refused."""

INKLING = {"swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 8, "d_rel": 4, "rel_extent": 32}

INDEXER = {
    "indexer_n_heads": 4,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": 8,
    "indexer_compress_ratio": 2,
}

DOTS3 = dict.fromkeys(("swa_num_attention_heads", "swa_num_key_value_heads"), 4) | {
    "swa_q_lora_rank": 16,
    "swa_kv_lora_rank": 16,
    "swa_head_dim": 16,
    "swa_qk_nope_head_dim": 8,
    "swa_v_head_dim": 8,
    "num_key_value_heads": 4,
}

NEMOTRON_H = ("linear_attention", "mlp", "full_attention", "moe", "linear_attention", "full_attention")

PHI4_AUDIO = dict.fromkeys(("ext_pw_out_channel", "depthwise_separable_out_channel", "nemo_conv_channels"), 32)

MAMBA2 = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_expand": 2}

SPECIAL: dict[str, dict[str, Any]] = {
    "bamba": MAMBA2 | {"attn_layer_indices": [2, 5]},
    "bert": ENCODER,
    "bert-generation": ENCODER,
    "big_bird": ENCODER | {"attention_type": "original_full"},
    "bigbird_pegasus": {"attention_type": "original_full"},
    "blt": {"encoder_hash_byte_group_vocab": 64},
    "camembert": ENCODER,
    "cohere_compass_text": {"rope_parameters": {"full_attention": ROPE, "sliding_attention": ROPE}},
    "data2vec-text": ENCODER,
    "dbrx": {"rope_parameters": ROPE, "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0}},
    "dots1": {"n_shared_experts": 1},
    "dots3_note": {"text_config": DOTS3},
    "dots3_note_text": DOTS3,
    "electra": ENCODER,
    "ernie": ENCODER,
    "falcon_h1": MAMBA2 | {"mamba_d_ssm": 64},
    "gemma3": {"mm_tokens_per_image": 4},
    "gemma3n_text": {"num_kv_shared_layers": 2, "layer_types": ["sliding_attention", "full_attention"] * 3} | PER_LAYER,
    "gemma4": {"text_config": GEMMA4} | PLACEHOLDERS,
    "gemma4_text": GEMMA4,
    "gemma4_unified": {"text_config": GEMMA4, "vision_config": GEMMA4_VISION} | PLACEHOLDERS,
    "gemma4_unified_text": GEMMA4,
    "gpt_neo": {"attention_types": [[["global", "local"], 3]]},
    "granitemoehybrid": MAMBA2 | {"layer_types": ["mamba", "mamba", "attention"] * 2},
    "hrm_text": {"num_hidden_layers": 2},
    "inkling2_text": INKLING,
    "inkling_text": INKLING,
    "lfm2": {"layer_types": ["conv", "conv", "full_attention"] * 2},
    "lfm2_moe": {"layer_types": ["conv", "conv", "full_attention"] * 2},
    "longcat_flash": {"zero_expert_num": 4},
    "mamba2": {"num_heads": 4, "head_dim": 16, "expand": 2, "n_groups": 1},
    "megatron-bert": ENCODER,
    "minimax": {"sliding_window": None},
    "mllama": {"text_config": {"cross_attention_layers": [1]}},
    "moshi": {"audio_vocab_size": 99, "sliding_window": 256},
    "nemotron_h": {"layers_block_type": [*NEMOTRON_H]},
    "phi4_multimodal": {"audio_config": PHI4_AUDIO},
    "qwen4_exp": {"text_config": INDEXER},
    "qwen4_exp_text": INDEXER,
    "reformer": ENCODER | {"axial_pos_embds": False, "attn_layers": ["local"] * 6},
    "rembert": ENCODER | {"input_embedding_size": 16, "output_embedding_size": 32},
    "roberta": ENCODER,
    "roberta-prelayernorm": ENCODER,
    "roc_bert": ENCODER
    | {"pronunciation_embed_dim": 16, "pronunciation_vocab_size": 99, "shape_embed_dim": 16, "shape_vocab_size": 99},
    "roformer": ENCODER,
    "xlm-roberta": ENCODER,
    "xlm-roberta-xl": ENCODER,
    "xlstm": {"hidden_size": 128, "num_blocks": 6, "ffn_round_up_to_multiple_of": 8},
    "xmod": ENCODER | {"default_language": "en_XX"},
    "zamba": {"attn_layer_period": 3, "attn_layer_offset": 2, "num_hidden_layers": 9},
    "zamba2": {"layers_block_type": ["mamba", "mamba", "hybrid"] * 2},
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 16},
}
"""What a family needs beside the standard names; nested configs by their own names."""


_SMALL_GEMMA4 = "without per-layer embeddings and shared keys; the variants that have them (E2B, E4B) are refused"

LIMITS: dict[str, str] = {
    **{family: "with is_decoder=True" for family, special in SPECIAL.items() if special.get("is_decoder")},
    **dict.fromkeys(("falcon_mamba", "jamba", "mamba", "zamba"), "a further turn on a filled cache is refused"),
    "big_bird": 'with attention_type="original_full"; block-sparse attention is refused',
    "bigbird_pegasus": 'with attention_type="original_full"; block-sparse attention is refused',
    "falcon": "with rotary positions; alibi=True is refused",
    "gemma4": _SMALL_GEMMA4,
    "gemma4_text": _SMALL_GEMMA4,
    "minimax": "with its default sliding_window=None; its code does not treat another as its layer types say",
    "mllama": "without pictures of its own; nothing may change at its cross-attention layers",
    "moshi": "the text LM; texts longer than its window, which its masks do not know, are refused",
}
"""Passing families -> what the config that was checked settles, where another one is refused."""

NOT_ALONE = frozenset({"gemma4_assistant", "gemma4_unified_assistant"})
"""Drafters: each of their layers reads the keys of another model, without which they do not run."""

TEXT_ALONE = {"gemma3n": "gemma3n_text"}
"""Families whose towers need packages that Transformers does not bring -> the family of their text decoder."""
