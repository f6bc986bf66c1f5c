"""Tiny random vision- and audio-language models of Transformers, and prompts for them.

Knows how to build; the properties stand in the test modules. All in float32 on the CPU, 6 layers, 32 wide.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    Gemma2Config,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GemmaConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2Config,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SiglipVisionConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

import cases

MEDIA = 98
SIDE, PATCH = 16, 8
TEXT = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 64,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": SIDE,
    "patch_size": PATCH,
}
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}


class Piece(NamedTuple):
    """A picture (or a sound): which one, and whether it is a large one, where the family knows sizes."""

    number: int
    large: bool = False

    def random(self, *shape: int) -> Tensor:
        """Its values."""
        return torch.randn(*shape, generator=torch.Generator().manual_seed(self.number))


Prompt = Sequence[int | Piece]
"""Token ids and pictures."""


@dataclass(frozen=True)
class Family:
    """One family of models.

    Args:
        make: a model from its configs.
        media: model inputs for the pictures of each row, and how many columns each of them takes.
        types: how `token_type_ids` or their like follow from media (B, W) and padding (B, W).
    """

    make: Callable[[], PreTrainedModel]
    media: Callable[[Any, list[list[Piece]]], tuple[dict[str, Tensor], list[int]]]
    types: Callable[[Tensor], dict[str, Tensor]] = lambda media_BW: {}


def _flat(rows: list[list[Piece]]) -> list[Piece]:
    return [piece for row in rows for piece in row]


def _squares(tokens: int) -> Callable[..., Any]:
    """One square picture for each; `tokens` columns."""

    def media(vlm: Any, rows: list[list[Piece]]) -> tuple[dict[str, Tensor], list[int]]:
        found = [piece.random(3, SIDE, SIDE) for piece in _flat(rows)]
        return {"pixel_values": torch.stack(found)}, [tokens] * len(found)

    return media


def _tiles(vlm: Any, rows: list[list[Piece]]) -> tuple[dict[str, Tensor], list[int]]:
    """A small picture has 1 tile beside the overview, a large one 2 in a row."""
    found = _flat(rows)
    pixels = torch.zeros(len(found), 3, 3, SIDE, SIDE)
    sizes = torch.tensor([[SIDE, SIDE * (1 + piece.large)] for piece in found])
    for place, piece in enumerate(found):
        tiles = 2 + piece.large
        pixels[place, :tiles] = piece.random(tiles, 3, SIDE, SIDE)
    inputs = {"pixel_values": pixels, "image_sizes": sizes}
    return inputs, [len(one) for one in vlm.model.get_image_features(**inputs).pooler_output]


def _grids(vlm: Any, rows: list[list[Piece]]) -> tuple[dict[str, Tensor], list[int]]:
    """4 tokens for a small picture, 6 for a large one."""
    found = _flat(rows)
    grids = torch.tensor([[1, 4, 4 + 2 * piece.large] for piece in found])
    counts = grids.prod(1).tolist()
    pixels = torch.cat([piece.random(count, 3 * 2 * 4 * 4) for piece, count in zip(found, counts, strict=True)])
    return {"pixel_values": pixels, "image_grid_thw": grids}, [count // 4 for count in counts]


def _padded(vlm: Any, rows: list[list[Piece]]) -> tuple[dict[str, Tensor], list[int]]:
    """Rows with fewer pictures are filled up with black ones."""
    pixels = torch.zeros(len(rows), max(map(len, rows)), 3, SIDE, SIDE)
    for row, pieces in enumerate(rows):
        for place, piece in enumerate(pieces):
            pixels[row, place] = piece.random(3, SIDE, SIDE)
    return {"pixel_values": pixels}, [4] * len(_flat(rows))


def _sounds(vlm: Any, rows: list[list[Piece]]) -> tuple[dict[str, Tensor], list[int]]:
    """4 tokens for a large sound, 2 for a small one."""
    found = _flat(rows)
    mask = torch.tensor([[1] * 16 if piece.large else [1] * 10 + [0] * 6 for piece in found])
    sounds = torch.stack([piece.random(8, 16) for piece in found])
    return {"input_features": sounds, "feature_attention_mask": mask}, [4 if piece.large else 2 for piece in found]


def _qwen_vision(**more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 32,
        "num_heads": 4,
        "intermediate_size": 48,
        "patch_size": 4,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": 32,
    } | more


def _llava() -> PreTrainedModel:
    text, vision = LlamaConfig(**TEXT), CLIPVisionConfig(**VISION)
    return LlavaForConditionalGeneration(
        LlavaConfig(text_config=text, vision_config=vision, image_token_index=MEDIA, image_seq_length=4)
    )


def _llava_next() -> PreTrainedModel:
    pins = [[SIDE, SIDE], [SIDE, 2 * SIDE]]
    config = LlavaNextConfig(
        text_config=LlamaConfig(**TEXT),
        vision_config=CLIPVisionConfig(**VISION),
        image_token_index=MEDIA,
        image_grid_pinpoints=pins,
        image_seq_length=4,
    )
    return LlavaNextForConditionalGeneration(config)


def _llava_onevision() -> PreTrainedModel:
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


def _qwen2_5_vl() -> PreTrainedModel:
    vision = _qwen_vision(depth=2, window_size=16, fullatt_block_indexes=[1])
    ids = {"image_token_id": MEDIA, "video_token_id": 97, "vision_start_token_id": 95, "vision_end_token_id": 96}
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(text_config=TEXT | {"rope_parameters": MROPE}, vision_config=vision, **ids)
    )


def _qwen3_vl() -> PreTrainedModel:
    vision = _qwen_vision(depth=4, num_position_embeddings=16, deepstack_visual_indexes=[0, 1, 2])
    ids = {"image_token_id": MEDIA, "video_token_id": 97, "vision_start_token_id": 95, "vision_end_token_id": 96}
    text = TEXT | {"rope_parameters": MROPE | {"mrope_interleaved": True}}
    return Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **ids))


def _paligemma(text: Any) -> Callable[[], PreTrainedModel]:
    def make() -> PreTrainedModel:
        vision = SiglipVisionConfig(**VISION, vision_use_head=False, projection_dim=32)
        return PaliGemmaForConditionalGeneration(
            PaliGemmaConfig(vision_config=vision, text_config=text, image_token_index=MEDIA, projection_dim=32)
        )

    return make


def _gemma3() -> PreTrainedModel:
    kinds = ["sliding_attention", "full_attention"] * 3
    text = Gemma3TextConfig(**TEXT, sliding_window=6, layer_types=kinds, query_pre_attn_scalar=8)
    vision = SiglipVisionConfig(**VISION, vision_use_head=False)
    return Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=MEDIA)
    )


def _idefics(config: Any, model: Any) -> Callable[[], PreTrainedModel]:
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


def _qwen2_audio() -> PreTrainedModel:
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


FAMILIES: dict[str, Family] = {
    "llava": Family(_llava, _squares(4)),
    "llava_next": Family(_llava_next, _tiles),
    "llava_onevision": Family(_llava_onevision, _tiles),
    "qwen2_5_vl": Family(_qwen2_5_vl, _grids, lambda media: {"mm_token_type_ids": media.long()}),
    "qwen3_vl": Family(_qwen3_vl, _grids, lambda media: {"mm_token_type_ids": media.long()}),
    "paligemma": Family(
        _paligemma(GemmaConfig(**TEXT)), _squares(4), lambda media: {"token_type_ids": torch.zeros_like(media).long()}
    ),
    "paligemma2": Family(
        _paligemma(Gemma2Config(**TEXT, sliding_window=6, query_pre_attn_scalar=8)),
        _squares(4),
        lambda media: {"token_type_ids": torch.zeros_like(media).long()},
    ),
    "gemma3": Family(_gemma3, _squares(4), lambda media: {"token_type_ids": media.long()}),
    "idefics3": Family(_idefics(Idefics3Config, Idefics3ForConditionalGeneration), _padded),
    "smolvlm": Family(_idefics(SmolVLMConfig, SmolVLMForConditionalGeneration), _padded),
    "qwen2_audio": Family(_qwen2_audio, _sounds),
}
"""Name -> how to build it. In each, token 98 stands for media."""


def fresh(family: str) -> Any:
    """A model of the family, the same one each time."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return cases.sharpened(FAMILIES[family].make().eval())


@cache
def vlm(family: str) -> Any:
    """One that tests share; leaving a retrofit restores it."""
    return fresh(family)


PROMPTS: tuple[Prompt, ...] = (
    (11, 25, Piece(1), 38, 47, 52, Piece(2, large=True), 61, 79),
    (7, Piece(3, large=True), 45, 93),
    (31, 62, 17, 88, 41),
)
"""Two pictures, one, and none; the shorter rows are padded."""


@torch.no_grad()
def inputs(family: str, prompts: Sequence[Prompt] = PROMPTS, side: str = "left") -> dict[str, Tensor]:
    """Model inputs for some prompts."""
    described, model = FAMILIES[family], vlm(family)
    pieces = [[piece for piece in prompt if isinstance(piece, Piece)] for prompt in prompts]
    media, counts = described.media(model, pieces) if any(pieces) else ({}, [])
    left = iter(counts)
    rows = [
        [one for piece in prompt for one in ([MEDIA] * next(left) if isinstance(piece, Piece) else [piece])]
        for prompt in prompts
    ]
    width = max(map(len, rows))
    blanks = [[0] * (width - len(row)) for row in rows]
    order = (lambda blank, row: blank + row) if side == "left" else (lambda blank, row: row + blank)
    ids = torch.tensor([order(blank, row) for blank, row in zip(blanks, rows, strict=True)])
    mask = torch.tensor([order(blank, [1] * len(row)) for blank, row in zip(blanks, rows, strict=True)])
    return {"input_ids": ids, "attention_mask": mask, **media, **described.types(ids == MEDIA)}
