"""Pretraining of the pocket audio encoder: sounds and class ids only, never language.

Owns the tags (made from the renderer's notes), the two heads that are thrown away afterwards, and a quick spectrogram.
Knows nothing of the language model. A tag is three class ids (shape, colour, size; 0 is silence or an empty slot).

    patch tokens  --head-->  which shape, colour and size sounds at this time   so that they keep *when*
    [CLS]         --head-->  the same for each of the 9 slots                   so that [CLS] knows the whole sound
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from midstream.pocket.encoder_training import WIDTHS, ids_of, tag_loss
from midstream.pocket.sizes import WIDTH, heads_of
from midstream.pocket.sounds.render import RATE, Floats, Note, play
from midstream.pocket.world import PLACES, Bucket, Scene, sample_scene

MELS: Final = 64
FRAMES: Final = 288
PATCH: Final = 32  # frames and mel bands; patches overlap in time, as those of AST do
STEP: Final = 16  # frames from one patch to the next
TIMES: Final = (FRAMES - PATCH) // STEP + 1
PITCHES: Final = MELS // PATCH
MEAN: Final = -7.43  # of the log-mel spectrograms
STD: Final = 1.85  # half their standard deviation: the extractor divides by twice this
BATCH: Final = 96
UNIT: Final = "sounds"
"""What a batch holds, as figures call it."""
_HOP: Final = 160
_COVERED: Final = 0.25  # share of a patch's time that makes it a thing's patch


class Tagged(NamedTuple):
    """Spectrograms ``[B, 288, 64]`` (normalised), tags of their time patches ``[B, 17, 3]`` and slots ``[B, 9, 3]``."""

    spectra: torch.Tensor
    times: torch.Tensor
    slots: torch.Tensor


@cache
def extractor() -> Any:
    """The extractor that ships with the encoder (Transformers' own, of AST)."""
    from transformers import ASTFeatureExtractor

    return ASTFeatureExtractor(num_mel_bins=MELS, max_length=FRAMES, sampling_rate=RATE, mean=MEAN, std=STD)


@cache
def _window_and_filters() -> tuple[torch.Tensor, torch.Tensor]:
    from transformers.audio_utils import mel_filter_bank, window_function

    filters = mel_filter_bank(
        257, MELS, 20, RATE // 2, RATE, norm=None, mel_scale="kaldi", triangularize_in_mel_space=True
    )
    return torch.from_numpy(window_function(400, "hann", periodic=False)).float(), torch.from_numpy(filters).float()


def spectrum_of(wave: Floats) -> torch.Tensor:
    """What `extractor` gives for a sound ``[SAMPLES]``, several times as fast: ``[288, 64]``.

    Pretraining makes thousands of sounds a minute, and the extractor goes through each frame by frame (9 ms a sound).
    """
    window, filters = _window_and_filters()
    frames = torch.from_numpy(wave).unfold(-1, 400, _HOP)
    frames = frames - frames.mean(-1, keepdim=True)
    emphasised = frames.clone()
    emphasised[:, 1:] -= 0.97 * frames[:, :-1]
    emphasised[:, 0] *= 1 - 0.97
    complexes = torch.view_as_real(torch.fft.rfft(emphasised * window, 512))
    mels = complexes.square().sum(-1) @ filters
    return (mels.clamp_min(1.192092955078125e-07).log() - MEAN) / (2 * STD)


def tags(scene: Scene, notes: list[Note]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tags of the 17 time patches and of the 9 slots, each ``[n, 3]``; a patch is the thing's that fills most of it."""
    ids = ids_of(scene)
    length = PATCH * _HOP
    starts = (
        np.arange(TIMES)[None] * STEP * _HOP + 120
    )  # the middle of a 25 ms window is 120 samples after its hop's start
    first = np.array([[note.start] for note in notes])
    last = first + np.array([[len(note.wave)] for note in notes])
    share = (np.minimum(last, starts + length) - np.maximum(first, starts)).clip(0) / length
    times = np.where((share.max(0) >= _COVERED)[:, None], ids[share.argmax(0)], 0)
    slots = np.zeros((len(PLACES), 3), dtype=np.int64)
    for thing, row in zip(scene.things, ids, strict=True):
        slots[PLACES.index(thing.place)] = row
    return times, slots


def tagged_batch(bucket: Bucket, index: int, seed: int, size: int = BATCH) -> Tagged:
    """Batch ``index`` of a split; a pure function of its arguments. Held-out pairs are included (see `world`)."""
    spectra, times, slots = [], [], []
    for number in range(index * size, (index + 1) * size):
        scene = sample_scene(bucket, number, seed)
        wave, notes = play(scene, number)
        spectra.append(spectrum_of(wave))
        time, slot = tags(scene, notes)
        times.append(time)
        slots.append(slot)
    return Tagged(torch.stack(spectra), torch.from_numpy(np.stack(times)), torch.from_numpy(np.stack(slots)))


class Tagger(nn.Module):
    """The encoder with the two heads that only its pretraining needs."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        from transformers import ASTConfig, ASTModel

        config = ASTConfig(
            hidden_size=width,
            num_hidden_layers=6,
            num_attention_heads=heads_of(width),
            intermediate_size=4 * width,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            patch_size=PATCH,
            frequency_stride=PATCH,
            time_stride=STEP,
            max_length=FRAMES,
            num_mel_bins=MELS,
        )
        self.encoder = ASTModel(config)
        self.encoder.set_attn_implementation("eager")  # on CPU its compiled backward beats SDPA's
        self.time_head = nn.Linear(config.hidden_size, sum(WIDTHS))
        self.slot_head = nn.Linear(config.hidden_size, len(PLACES) * sum(WIDTHS))

    def forward(self, spectra: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of patches ``[B, 2, 17, sum(WIDTHS)]`` and of slots ``[B, 9, sum(WIDTHS)]``."""
        tokens_BTD = self.encoder(spectra).last_hidden_state  # [CLS], [distillation], then pitch by pitch all times
        slots = self.slot_head(tokens_BTD[:, 0]).unflatten(1, (len(PLACES), sum(WIDTHS)))
        return self.time_head(tokens_BTD[:, 2:]).unflatten(1, (PITCHES, TIMES)), slots


@torch.no_grad()
def tagging_accuracy(model: Tagger, bucket: Bucket = "test", batches: int = 6, seed: int = 0) -> dict[str, float]:
    """Share with all three tags right: of patches where a thing sounds, of filled slots, of whole scenes."""
    hits: dict[str, list[torch.Tensor]] = {"sounding_patch": [], "slot": [], "scene": []}
    device = next(model.parameters()).device
    for index in range(batches):
        batch = tagged_batch(bucket, index, seed)
        times = batch.times[:, None].expand(-1, PITCHES, -1, -1)
        patch_logits, slot_logits = model(batch.spectra.to(device))
        patch_hit, slot_hit = (
            torch.stack([part.argmax(-1) for part in logits.cpu().split(WIDTHS, dim=-1)], -1).eq(wanted).all(-1)
            for logits, wanted in ((patch_logits, times), (slot_logits, batch.slots))
        )
        hits["sounding_patch"].append(patch_hit[times[..., 0] > 0])
        hits["slot"].append(slot_hit[batch.slots[..., 0] > 0])
        hits["scene"].append(slot_hit.all(-1))
    return {name: round(torch.cat(parts).float().mean().item(), 4) for name, parts in hits.items()}


def loss_of(model: Tagger, spectra: torch.Tensor, times: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    """What a batch costs: tags of time patches, the same for each pitch, and of slots."""
    patch_logits, slot_logits = model(spectra)
    wanted = times[:, None].expand(-1, PITCHES, -1, -1)
    return tag_loss(patch_logits.flatten(1, 2), wanted.flatten(1, 2), 0.3) + tag_loss(slot_logits, slots, 0.5)


def save(model: Tagger, folder: Path) -> None:
    """Write the encoder and its feature extractor as an ordinary Hugging Face folder."""
    model.encoder.save_pretrained(folder)
    extractor().save_pretrained(folder)
