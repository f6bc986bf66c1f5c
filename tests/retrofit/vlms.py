"""Tiny random vision- and audio-language models of Transformers, and prompts for them.

Knows how to build; the properties stand in the test modules. All in float32 on the CPU, 6 layers, 32 wide.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import makers
import torch
from makers import MEDIA, SIDE, TEXT
from torch import Tensor
from transformers import (
    Gemma2Config,
    GemmaConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    PreTrainedModel,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

import cases


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


def _mrope_types(media_BW: Tensor) -> dict[str, Tensor]:
    return {"mm_token_type_ids": media_BW.long()}


def _prefix(media_BW: Tensor) -> dict[str, Tensor]:
    """PaliGemma: all of the prompt is read in both directions."""
    return {"token_type_ids": torch.zeros_like(media_BW).long()}


def _pictures(media_BW: Tensor) -> dict[str, Tensor]:
    """Gemma 3: each picture is."""
    return {"token_type_ids": media_BW.long()}


def _sized(vlm: Any, rows: list[list[Piece]]) -> tuple[dict[str, Tensor], list[int]]:
    """Square pictures that say how large they are."""
    given, counts = _squares(4)(vlm, rows)
    return given | {"image_sizes": torch.tensor([[SIDE, SIDE]] * len(counts))}, counts


FAMILIES: dict[str, Family] = {
    "llava": Family(makers.llava, _squares(4)),
    "llava_next": Family(makers.llava_next, _tiles),
    "llava_onevision": Family(makers.llava_onevision, _tiles),
    "vipllava": Family(makers.vipllava, _squares(4)),
    "qwen2_vl": Family(makers.qwen2_vl, _grids, _mrope_types),
    "qwen2_5_vl": Family(makers.qwen2_5_vl, _grids, _mrope_types),
    "qwen3_vl": Family(makers.qwen3_vl, _grids, _mrope_types),
    "qwen3_vl_moe": Family(makers.qwen3_vl_moe, _grids, _mrope_types),
    "qwen3_5": Family(makers.qwen3_5, _grids, _mrope_types),
    "paligemma": Family(makers.paligemma(GemmaConfig(**TEXT)), _squares(4), _prefix),
    "paligemma2": Family(
        makers.paligemma(Gemma2Config(**TEXT, sliding_window=6, query_pre_attn_scalar=8)), _squares(4), _prefix
    ),
    "gemma3": Family(makers.gemma3, _squares(4), _pictures),
    "idefics3": Family(makers.idefics(Idefics3Config, Idefics3ForConditionalGeneration), _padded),
    "smolvlm": Family(makers.idefics(SmolVLMConfig, SmolVLMForConditionalGeneration), _padded),
    "internvl": Family(makers.internvl, _squares(4)),
    "mistral3": Family(makers.mistral3, _sized),
    "qwen2_audio": Family(makers.qwen2_audio, _sounds),
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
