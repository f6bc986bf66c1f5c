"""Pretraining of the pocket image encoder: pictures and class ids only, never language.

Owns the tags (made from the renderer's masks), the two heads that are thrown away afterwards, and the loop. Knows
nothing of the language model: a tag is three class ids (shape, colour, size; 0 is background or an empty cell).

    patch tokens  --head-->  which shape, colour and size covers this patch     so that they keep *where*
    [CLS]         --head-->  the same for each of the 9 cells                   so that [CLS] knows the whole scene
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from midstream.pocket.render import IMAGE_SIZE, Spot, draw
from midstream.pocket.sizes import WIDTH, heads_of
from midstream.pocket.world import COLOURS, PLACES, SHAPES, SIZES, Bucket, Scene, sample_scene

PATCH: Final = 8
GRID: Final = IMAGE_SIZE // PATCH
WIDTHS: Final = (len(SHAPES) + 1, len(COLOURS) + 1, len(SIZES) + 1)
MEAN: Final = (0.481, 0.466, 0.467)  # of the pictures, per channel, 0 to 1
STD: Final = (0.143, 0.134, 0.140)
BATCH: Final = 96
UNIT: Final = "pictures"
"""What a batch holds, as figures call it."""
_COVERED: Final = 0.06  # share of a patch's area that makes it a thing's patch


class Tagged(NamedTuple):
    """Pictures ``[B, 3, 64, 64]`` (normalised) with tags of patches ``[B, 64, 3]`` and of cells ``[B, 9, 3]``."""

    pixels: torch.Tensor
    patches: torch.Tensor
    cells: torch.Tensor


def ids_of(scene: Scene) -> NDArray[np.int64]:
    """Class ids of the things of a scene, ``[n, 3]``: shape, colour, size, each from 1."""
    return np.array(
        [[SHAPES.index(t.shape) + 1, COLOURS.index(t.colour) + 1, SIZES.index(t.size) + 1] for t in scene.things]
    )


def tags(scene: Scene, spots: list[Spot]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tags of the 64 patches and of the 9 cells, each ``[n, 3]``; a patch is the thing's that covers most of it."""
    ids = ids_of(scene)
    cover = np.zeros((len(spots), IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)
    for plane, spot in zip(cover, spots, strict=True):
        height, width = spot.mask_HW.shape
        plane[spot.row : spot.row + height, spot.column : spot.column + width] = spot.mask_HW
    share = cover.reshape(len(spots), GRID, PATCH, GRID, PATCH).mean(axis=(2, 4)).reshape(len(spots), GRID * GRID)
    patches = np.where((share.max(0) >= _COVERED)[:, None], ids[share.argmax(0)], 0)
    cells = np.zeros((len(PLACES), 3), dtype=np.int64)
    for thing, row in zip(scene.things, ids, strict=True):
        cells[PLACES.index(thing.place)] = row
    return patches, cells


def tagged_batch(bucket: Bucket, index: int, seed: int, size: int = BATCH) -> Tagged:
    """Batch ``index`` of a split; a pure function of its arguments. Held-out pairs are included (see `world`)."""
    pixels, patches, cells = [], [], []
    for number in range(index * size, (index + 1) * size):
        scene = sample_scene(bucket, number, seed)
        picture, spots = draw(scene, number)
        pixels.append(np.asarray(picture))
        patch, cell = tags(scene, spots)
        patches.append(patch)
        cells.append(cell)
    scaled = (torch.from_numpy(np.stack(pixels)).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    channels_first = scaled.permute(0, 3, 1, 2).contiguous()
    return Tagged(channels_first, torch.from_numpy(np.stack(patches)), torch.from_numpy(np.stack(cells)))


class Tagger(nn.Module):
    """The encoder with the two heads that only its pretraining needs."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        from transformers import ViTConfig, ViTModel

        config = ViTConfig(
            hidden_size=width,
            num_hidden_layers=6,
            num_attention_heads=heads_of(width),
            intermediate_size=4 * width,
            image_size=IMAGE_SIZE,
            patch_size=PATCH,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.encoder = ViTModel(config, add_pooling_layer=False)
        self.encoder.set_attn_implementation("eager")  # on CPU its compiled backward beats SDPA's
        self.patch_head = nn.Linear(config.hidden_size, sum(WIDTHS))
        self.cell_head = nn.Linear(config.hidden_size, len(PLACES) * sum(WIDTHS))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of patches ``[B, 64, sum(WIDTHS)]`` and of cells ``[B, 9, sum(WIDTHS)]``."""
        tokens_BTD = self.encoder(pixels).last_hidden_state
        cells = self.cell_head(tokens_BTD[:, 0]).unflatten(1, (len(PLACES), sum(WIDTHS)))
        return self.patch_head(tokens_BTD[:, 1:]), cells


def tag_loss(logits: torch.Tensor, wanted: torch.Tensor, empty_weight: float) -> torch.Tensor:
    """Sum over the three class ids of the mean cross-entropy; tags of 0 weigh ``empty_weight``.

    ``logits [B, n, sum(WIDTHS)]``, ``wanted [B, n, 3]``.
    """
    total = logits.new_zeros(())
    for part, target in zip(logits.float().split(WIDTHS, dim=-1), wanted.unbind(-1), strict=True):
        each = functional.cross_entropy(part.flatten(0, 1), target.flatten(), reduction="none")
        weight = torch.where(target.flatten() == 0, empty_weight, 1.0)
        total = total + (each * weight).sum() / weight.sum()
    return total


@torch.no_grad()
def tagging_accuracy(model: Tagger, bucket: Bucket = "test", batches: int = 6, seed: int = 0) -> dict[str, float]:
    """Share with all three tags right: of patches on things, of all patches, of filled cells, of whole scenes."""
    hits: dict[str, list[torch.Tensor]] = {"object_patch": [], "patch": [], "cell": [], "scene": []}
    device = next(model.parameters()).device
    for index in range(batches):
        batch = tagged_batch(bucket, index, seed)
        patch_logits, cell_logits = model(batch.pixels.to(device))
        patch_hit, cell_hit = (
            torch.stack([part.argmax(-1) for part in logits.cpu().split(WIDTHS, dim=-1)], -1).eq(wanted).all(-1)
            for logits, wanted in ((patch_logits, batch.patches), (cell_logits, batch.cells))
        )
        hits["object_patch"].append(patch_hit[batch.patches[..., 0] > 0])
        hits["patch"].append(patch_hit.flatten())
        hits["cell"].append(cell_hit[batch.cells[..., 0] > 0])
        hits["scene"].append(cell_hit.all(-1))
    return {name: round(torch.cat(parts).float().mean().item(), 4) for name, parts in hits.items()}


def loss_of(model: Tagger, pixels: torch.Tensor, patches: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """What a batch costs: tags of patches and of cells."""
    patch_logits, cell_logits = model(pixels)
    return tag_loss(patch_logits, patches, 0.3) + tag_loss(cell_logits, cells, 0.5)


def save(model: Tagger, folder: Path) -> None:
    """Write the encoder and its image processor as an ordinary Hugging Face folder."""
    from transformers import ViTImageProcessor

    model.encoder.save_pretrained(folder)
    ViTImageProcessor(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}, image_mean=list(MEAN), image_std=list(STD)
    ).save_pretrained(folder)
