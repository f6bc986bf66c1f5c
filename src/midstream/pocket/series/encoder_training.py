"""Pretraining of the pocket series encoder: samples in time and class ids only, never language.

Owns the tags, the head that is thrown away afterwards, and what is measured. Knows nothing of the language model: every
patch token is to know four class ids, three of its whole line (trend, wave, level) and what is wrong inside the patch
itself (0: nothing), so that the tokens keep *when*.

PatchTST reads each channel by itself, with the same weights. Which channel a token came from is not among what it can
know; the connector learns it from the token's place (its option ``times``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from midstream.pocket.series.render import STEPS, render, spans
from midstream.pocket.series.world import CHANNELS, FAULTS, LEVELS, TRENDS, WAVES, sample
from midstream.pocket.sizes import WIDTH, heads_of
from midstream.pocket.world import Bucket

PATCH: Final = 8
PATCHES: Final = STEPS // PATCH
WIDTHS: Final = (len(TRENDS), len(WAVES), len(LEVELS), len(FAULTS) + 1)
BATCH: Final = 64
UNIT: Final = "recordings"
"""What a batch holds, as figures call it."""


class Tagged(NamedTuple):
    """Series ``[B, 96, 3]``, tags of lines ``[B, 3, 3]`` (trend, wave, level) and faults of patches ``[B, 3, 12]``."""

    series: torch.Tensor
    lines: torch.Tensor
    faults: torch.Tensor


def tagged_batch(bucket: Bucket, index: int, seed: int, size: int = BATCH) -> Tagged:
    """Batch ``index`` of a split; a pure function of its arguments. Held-out triples are included (see `world`)."""
    series, lines = [], []
    faults = np.zeros((size, len(CHANNELS), PATCHES), dtype=np.int64)
    for row, number in enumerate(range(index * size, (index + 1) * size)):
        recording = sample(bucket, number, seed)
        series.append(render(recording, number))
        lines.append([[TRENDS.index(x.trend), WAVES.index(x.wave), LEVELS.index(x.level)] for x in recording.lines])
        if recording.fault:
            covered = spans(recording, number).reshape(PATCHES, PATCH).any(1)
            kind = FAULTS.index(recording.fault.kind) + 1
            faults[row, CHANNELS.index(recording.fault.colour)] = np.where(covered, kind, 0)
    return Tagged(torch.from_numpy(np.stack(series)), torch.tensor(lines), torch.from_numpy(faults))


class Tagger(nn.Module):
    """The encoder with the head that only its pretraining needs."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        from transformers import PatchTSTConfig, PatchTSTModel

        config = PatchTSTConfig(
            num_input_channels=len(CHANNELS),
            context_length=STEPS,
            patch_length=PATCH,
            patch_stride=PATCH,
            d_model=width,
            num_hidden_layers=5,
            num_attention_heads=heads_of(width),
            ffn_dim=4 * width,
            norm_type="layernorm",
            scaling=None,  # a line's level is something to be asked about
            do_mask_input=False,
        )
        self.encoder = PatchTSTModel(config)
        self.encoder.set_attn_implementation("eager")
        self.head = nn.Sequential(nn.LayerNorm(config.d_model), nn.Linear(config.d_model, sum(WIDTHS)))

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        """Logits ``[B, 3, 12, sum(WIDTHS)]`` of every patch of every channel."""
        return self.head(self.encoder(past_values=series).last_hidden_state)


def _wanted(batch: Tagged) -> list[torch.Tensor]:
    """The four tags of each patch, ``[B, 3, 12]`` each."""
    lines = batch.lines.unsqueeze(2).expand(-1, -1, PATCHES, -1)
    return [*lines.unbind(-1), batch.faults]


def tag_loss(logits: torch.Tensor, batch: Tagged) -> torch.Tensor:
    """The mean cross-entropies of the four tags; patches without a fault count a tenth."""
    total = logits.new_zeros(())
    for number, (part, wanted) in enumerate(zip(logits.float().split(WIDTHS, -1), _wanted(batch), strict=True)):
        each = functional.cross_entropy(part.flatten(0, 2), wanted.flatten(), reduction="none")
        weight = torch.where(wanted.flatten() == 0, 0.1, 1.0) if number == 3 else torch.ones_like(each)
        total = total + (each * weight).sum() / weight.sum()
    return total


@torch.no_grad()
def tagging_accuracy(model: Tagger, bucket: Bucket = "test", batches: int = 8, seed: int = 0) -> dict[str, float]:
    """Share right: of each line tag (over patches), of faulty patches, of all patches' fault tags, of patches with all
    four right."""
    hits: dict[str, list[torch.Tensor]] = {name: [] for name in ("trend", "wave", "level", "fault", "faulty", "patch")}
    device = next(model.parameters()).device
    for index in range(batches):
        batch = tagged_batch(bucket, index, seed)
        logits = model(batch.series.to(device)).cpu().split(WIDTHS, -1)
        right = [part.argmax(-1).eq(wanted) for part, wanted in zip(logits, _wanted(batch), strict=True)]
        for name, hit in zip(("trend", "wave", "level", "fault"), right, strict=True):
            hits[name].append(hit.flatten())
        hits["faulty"].append(right[3][batch.faults > 0])
        hits["patch"].append(torch.stack(right).all(0).flatten())
    return {name: round(torch.cat(parts).float().mean().item(), 4) for name, parts in hits.items()}


def loss_of(model: Tagger, series: torch.Tensor, lines: torch.Tensor, faults: torch.Tensor) -> torch.Tensor:
    """What a batch costs."""
    return tag_loss(model(series), Tagged(series, lines, faults))


def save(model: Tagger, folder: Path) -> None:
    """Write the encoder as an ordinary Hugging Face folder."""
    model.encoder.save_pretrained(folder)
