"""Tiny random models of real architectures, for tests and for trying things out. Nothing here is trained.

lm = tiny_lm("opt")
model = MidstreamForCausalLM.from_parts(lm, image=Modality(tiny_encoder("clip"), "linear", deep_insert(2)))
"""

from typing import Any

import torch
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from midstream.errors import InputError

VOCABULARY = 99
DEPTH = 6
WIDTH = 32

PLAIN = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
"""Sizes of a tiny LM, under the names that most configs use."""

LM_FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 8},
    "qwen2": {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 3},
    "qwen3": {},
    "gemma2": {"sliding_window": 8},
    "gemma3_text": {"sliding_window": 8},
    "phi3": {},
    "olmo2": {},
    "gpt_neox": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": WIDTH},
    "gpt2": {"n_embd": WIDTH, "n_layer": DEPTH, "n_head": 4, "n_positions": 256},
}
"""Family (a `model_type` of Transformers) -> what its tiny config needs beside the plain names."""

ENCODER_FAMILIES: dict[str, dict[str, Any]] = {
    "vit": {},
    "dinov2": {},
    "clip_vision_model": {},
    "siglip_vision_model": {},
}


def tiny_lm(family: str = "llama", seed: int = 0, depth: int = DEPTH, **changes: Any) -> PreTrainedModel:
    """A random causal LM of a real architecture: 6 layers, 32 wide, 99 tokens, in eval mode.

    Raises:
        InputError: no such family.
    """
    if family not in LM_FAMILIES:
        raise InputError(f"no tiny LM for {family!r}; choose one of {sorted(LM_FAMILIES)}")
    settings = PLAIN | {"num_hidden_layers": depth} | LM_FAMILIES[family] | changes
    if family == "gpt2":
        settings = {key: value for key, value in settings.items() if key not in ("hidden_size", "num_hidden_layers")}
        settings["n_layer"] = depth
    return _make(AutoModelForCausalLM, family, settings, seed)


def tiny_encoder(family: str = "vit", seed: int = 1, **changes: Any) -> PreTrainedModel:
    """A random vision encoder of a real architecture: 4 blocks, 24 wide, 16 x 16 pixels in 4 patches.

    Raises:
        InputError: no such family.
    """
    if family not in ENCODER_FAMILIES:
        raise InputError(f"no tiny encoder for {family!r}; choose one of {sorted(ENCODER_FAMILIES)}")
    settings = {
        "hidden_size": 24,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "image_size": 16,
        "patch_size": 8,
    }
    return _make(AutoModel, family, settings | ENCODER_FAMILIES[family] | changes, seed)


def _make(auto: Any, family: str, settings: dict[str, Any], seed: int) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return auto.from_config(CONFIG_MAPPING[family](**settings)).eval()
