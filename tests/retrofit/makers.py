"""Tiny random models of each family, from their configs: 6 layers, 32 wide, 99 tokens; token 98 stands for media."""

from collections.abc import Callable
from typing import Any

from transformers import (
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    MistralConfig,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PixtralVisionConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2Config,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
    SiglipVisionConfig,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)

from midstream.testing import PLAIN

MEDIA = 98
SIDE, PATCH = 16, 8
TEXT = PLAIN
VISION = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": SIDE,
    "patch_size": PATCH,
}
QWEN_IDS = {"image_token_id": MEDIA, "video_token_id": 97, "vision_start_token_id": 95, "vision_end_token_id": 96}
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}


def qwen_vision(**more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 32,
        "num_heads": 4,
        "intermediate_size": 48,
        "patch_size": 4,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": 32,
    } | more


def llava() -> PreTrainedModel:
    text, vision = LlamaConfig(**TEXT), CLIPVisionConfig(**VISION)
    return LlavaForConditionalGeneration(
        LlavaConfig(text_config=text, vision_config=vision, image_token_index=MEDIA, image_seq_length=4)
    )


def llava_next() -> PreTrainedModel:
    pins = [[SIDE, SIDE], [SIDE, 2 * SIDE]]
    config = LlavaNextConfig(
        text_config=LlamaConfig(**TEXT),
        vision_config=CLIPVisionConfig(**VISION),
        image_token_index=MEDIA,
        image_grid_pinpoints=pins,
        image_seq_length=4,
    )
    return LlavaNextForConditionalGeneration(config)


def llava_onevision() -> PreTrainedModel:
    pins = [[SIDE, SIDE], [SIDE, 2 * SIDE]]
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=Qwen2Config(**TEXT),
        image_token_index=MEDIA,
        video_token_index=97,
        image_grid_pinpoints=pins,
        vision_feature_select_strategy="full",
    )
    return LlavaOnevisionForConditionalGeneration(config)


def qwen2_5_vl() -> PreTrainedModel:
    vision = qwen_vision(depth=2, window_size=16, fullatt_block_indexes=[1])
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(text_config=TEXT | {"rope_parameters": MROPE}, vision_config=vision, **QWEN_IDS)
    )


def qwen3_vl() -> PreTrainedModel:
    vision = qwen_vision(depth=4, num_position_embeddings=16, deepstack_visual_indexes=[0, 1, 2])
    text = TEXT | {"rope_parameters": MROPE | {"mrope_interleaved": True}}
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **QWEN_IDS))


def qwen2_vl() -> PreTrainedModel:
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "mlp_ratio": 2, "patch_size": 4}
    config = Qwen2VLConfig(text_config=TEXT | {"rope_parameters": MROPE}, vision_config=vision, **QWEN_IDS)
    return Qwen2VLForConditionalGeneration(config)


def qwen3_vl_moe() -> PreTrainedModel:
    vision = qwen_vision(depth=4, num_position_embeddings=16, deepstack_visual_indexes=[0, 1, 2])
    text = TEXT | {"rope_parameters": MROPE | {"mrope_interleaved": True}, "decoder_sparse_step": 1}
    text |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    return Qwen3VLMoeForConditionalGeneration(Qwen3VLMoeConfig(text_config=text, vision_config=vision, **QWEN_IDS))


def qwen3_5() -> PreTrainedModel:
    """Every other layer is linear attention, which keeps a state."""
    vision = qwen_vision(depth=2, num_position_embeddings=16)
    rope = MROPE | {"mrope_interleaved": True, "partial_rotary_factor": 1.0}
    text = TEXT | {"rope_parameters": rope, "layer_types": ["linear_attention", "full_attention"] * 3}
    text |= {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2}
    text |= {"linear_num_value_heads": 4}
    return Qwen3_5ForConditionalGeneration(Qwen3_5Config(text_config=text, vision_config=vision, **QWEN_IDS))


def vipllava() -> PreTrainedModel:
    config = VipLlavaConfig(
        text_config=LlamaConfig(**TEXT),
        vision_config=CLIPVisionConfig(**VISION),
        image_token_index=MEDIA,
        vision_feature_layers=[-2, -3],
        image_seq_length=4,
    )
    return VipLlavaForConditionalGeneration(config)


def internvl() -> PreTrainedModel:
    sizes = {"image_size": [SIDE, SIDE], "patch_size": [4, 4]}
    return InternVLForConditionalGeneration(
        InternVLConfig(
            text_config=Qwen2Config(**TEXT),
            vision_config=InternVLVisionConfig(**(VISION | sizes)),
            image_token_id=MEDIA,
            image_seq_length=4,
        )
    )


def mistral3() -> PreTrainedModel:
    config = Mistral3Config(
        text_config=MistralConfig(**TEXT, sliding_window=None),
        vision_config=PixtralVisionConfig(**(VISION | {"hidden_size": 32, "patch_size": 4})),
        image_token_index=MEDIA,
        vision_feature_layer=-1,
    )
    return Mistral3ForConditionalGeneration(config)


def paligemma(text: Any) -> Callable[[], PreTrainedModel]:
    def make() -> PreTrainedModel:
        vision = SiglipVisionConfig(**VISION, vision_use_head=False, projection_dim=32)
        return PaliGemmaForConditionalGeneration(
            PaliGemmaConfig(vision_config=vision, text_config=text, image_token_index=MEDIA, projection_dim=32)
        )

    return make


def gemma3() -> PreTrainedModel:
    kinds = ["sliding_attention", "full_attention"] * 3
    text = Gemma3TextConfig(**TEXT, sliding_window=6, layer_types=kinds, query_pre_attn_scalar=8)
    vision = SiglipVisionConfig(**VISION, vision_use_head=False)
    return Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=MEDIA)
    )


def idefics(config: Any, model: Any) -> Callable[[], PreTrainedModel]:
    def make() -> PreTrainedModel:
        vision = VISION | {"patch_size": 4}
        return model(
            config(
                text_config=LlamaConfig(**TEXT),
                vision_config=vision,
                image_token_id=MEDIA,
                scale_factor=2,
                pad_token_id=0,
            )
        )

    return make


def qwen2_audio() -> PreTrainedModel:
    audio = Qwen2AudioEncoderConfig(
        num_mel_bins=8,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        d_model=16,
        max_source_positions=8,
    )
    text = Qwen2Config(**TEXT)
    return Qwen2AudioForConditionalGeneration(
        Qwen2AudioConfig(audio_config=audio, text_config=text, audio_token_index=MEDIA)
    )
