"""Pretraining of the pocket video encoder: clips and class ids only, never language.

Owns the tags (made from what the movers cover), the head that is thrown away afterwards, and its loss. A clip is cut
into 4 x 4 x 4 tubelets of two frames and 16x16 pixels; a tubelet's tags are those of the mover that covers most of it:

    shape, colour                    what a still frame shows
    direction, speed, turn, event    what only the whole clip shows

0 is background; 1 is "none" for a mover without a speed, a turn or an event.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from midstream.pocket.motion.language import order_of
from midstream.pocket.motion.paths import FRAMES
from midstream.pocket.motion.render import draw
from midstream.pocket.motion.world import DIRECTIONS, EVENTS, SPEEDS, STILL, Clip, sample
from midstream.pocket.render import IMAGE_SIZE, Floats
from midstream.pocket.sizes import WIDTH, heads_of
from midstream.pocket.world import COLOURS, SHAPES, Bucket

PATCH: Final = 16
TUBELET: Final = 2
TAGS: Final = {
    "shape": ("", *SHAPES),
    "colour": ("", *COLOURS),
    "direction": ("", STILL, *DIRECTIONS),
    "speed": ("", "none", *SPEEDS),
    "turn": ("", "none", "first", "second", "last"),
    "event": ("", "none", *EVENTS),
}
WIDTHS: Final = tuple(len(values) for values in TAGS.values())
MEAN: Final = (0.489, 0.488, 0.489)  # of the clips, per channel, 0 to 1
STD: Final = (0.137, 0.131, 0.131)
BATCH: Final = 64
UNIT: Final = "clips"
"""What a batch holds, as figures call it."""
_COVERED: Final = 0.03  # share of a tubelet's volume that makes it a mover's


class Tagged(NamedTuple):
    """Clips uint8 ``[B, 8, 64, 64, 3]`` with tags of their tubelets ``[B, 64, 6]``."""

    frames: torch.Tensor
    tubelets: torch.Tensor


def tags(clip: Clip, cover_NFHW: Floats) -> NDArray[np.int64]:
    """Tags of the 64 tubelets, time first, then rows: ``[64, 6]``."""
    ids = []
    for index, mover in enumerate(clip.movers):
        event = clip.event if index in clip.pair else ""
        words = (*mover[:3], mover.speed or "none", order_of(clip, mover) or "none", event or "none")
        ids.append([values.index(word) for values, word in zip(TAGS.values(), words, strict=True)])
    side, times = IMAGE_SIZE // PATCH, FRAMES // TUBELET
    cut = cover_NFHW.reshape(len(ids), times, TUBELET, side, PATCH, side, PATCH)
    share_NP = cut.mean(axis=(2, 4, 6)).reshape(len(ids), -1)
    return np.where((share_NP.max(0) >= _COVERED)[:, None], np.array(ids)[share_NP.argmax(0)], 0)


def tagged_batch(bucket: Bucket, index: int, seed: int, size: int = BATCH) -> Tagged:
    """Batch ``index`` of a split; a pure function of its arguments. Held-out pairs are included (see `world`)."""
    frames, tubelets = [], []
    for number in range(index * size, (index + 1) * size):
        clip = sample(bucket, number, seed)
        drawn = draw(clip, number, cover=True)
        assert drawn.cover_NFHW is not None
        frames.append(drawn.frames_FHW3)
        tubelets.append(tags(clip, drawn.cover_NFHW))
    return Tagged(torch.from_numpy(np.stack(frames)), torch.from_numpy(np.stack(tubelets)))


class Tagger(nn.Module):
    """The encoder with the head that only its pretraining needs."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        from transformers import VideoMAEConfig, VideoMAEModel

        config = VideoMAEConfig(
            hidden_size=width,
            num_hidden_layers=4,
            num_attention_heads=heads_of(width),
            intermediate_size=4 * width,
            image_size=IMAGE_SIZE,
            patch_size=PATCH,
            num_frames=FRAMES,
            tubelet_size=TUBELET,
            use_mean_pooling=False,  # this is what keeps the norm after the last layer
        )
        self.encoder = VideoMAEModel(config)
        self.encoder.set_attn_implementation("eager")  # on CPU its compiled backward beats SDPA's
        self.head = nn.Linear(config.hidden_size, sum(WIDTHS))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Logits of tubelets ``[B, 64, sum(WIDTHS)]`` from frames uint8 ``[B, 8, 64, 64, 3]``."""
        mean, std = (frames.new_tensor(values, dtype=torch.float32) for values in (MEAN, STD))
        pixels = ((frames.float() / 255 - mean) / std).permute(0, 1, 4, 2, 3)
        logits: torch.Tensor = self.head(self.encoder(pixels).last_hidden_state)
        return logits


def loss_of(model: Tagger, frames: torch.Tensor, tubelets: torch.Tensor) -> torch.Tensor:
    """What a batch costs: tags of tubelets; those that show no mover count a fifth."""
    logits = model(frames)
    total = logits.new_zeros(())
    for part, target in zip(logits.float().split(WIDTHS, -1), tubelets.unbind(-1), strict=True):
        each = functional.cross_entropy(part.flatten(0, 1), target.flatten(), reduction="none")
        weight = torch.where(target.flatten() == 0, 0.2, 1.0)
        total = total + (each * weight).sum() / weight.sum()
    return total


@torch.no_grad()
def tagging_accuracy(model: Tagger, bucket: Bucket = "test", batches: int = 8, seed: int = 0) -> dict[str, float]:
    """Share right, over the tubelets that show a mover: of each tag, and of all six at once."""
    hits: dict[str, list[torch.Tensor]] = {name: [] for name in (*TAGS, "all")}
    device = next(model.parameters()).device
    for index in range(batches):
        batch = tagged_batch(bucket, index, seed)
        logits = model(batch.frames.to(device)).cpu()
        guesses = torch.stack([part.argmax(-1) for part in logits.split(WIDTHS, -1)], -1)
        right = guesses.eq(batch.tubelets)[batch.tubelets[..., 0] > 0]
        for name, hit in zip(TAGS, right.unbind(-1), strict=True):
            hits[name].append(hit)
        hits["all"].append(right.all(-1))
    return {name: round(torch.cat(parts).float().mean().item(), 4) for name, parts in hits.items()}


def save(model: Tagger, folder: Path) -> None:
    """Write the encoder and its image processor (one frame at a time) as an ordinary Hugging Face folder."""
    from transformers import ViTImageProcessor

    model.encoder.save_pretrained(folder)
    ViTImageProcessor(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}, image_mean=list(MEAN), image_std=list(STD)
    ).save_pretrained(folder)
