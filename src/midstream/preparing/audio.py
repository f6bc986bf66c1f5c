"""Sound, by the encoder's own feature extractor: mono, at its rate, cut or padded to one length."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from transformers import AutoFeatureExtractor

from midstream import media
from midstream.errors import InputError
from midstream.preparing.preparer import Preparer, notes

SECONDS = 10.0
"""How long sounds are for an extractor that has no length of its own (wav2vec2, HuBERT)."""

WINDOW, HOP = 0.025, 0.01
"""Seconds of a spectrogram's window, and from one to the next, where an extractor counts its length in frames (AST)."""


class AudioPreparer(Preparer):
    """Paths, bytes or samples to `input_values` or `input_features` (N, ...).

    Where the extractor pads with silence, `attention_mask` (N, samples or frames) says what is real; CLAP's repeats a
    short sound instead.
    """

    medium = "audio"
    SETTINGS = ("seconds",)
    PROCESSOR = (AutoFeatureExtractor, "feature extractor")

    @classmethod
    def open(cls, source: str, config: Any, **settings: Any) -> Self:
        """The feature extractor beside the encoder; `seconds` is how much of a sound is used.

        Raises:
            InputError: it cannot be loaded, or `seconds` is not above 0 or more than the extractor takes.
        """
        preparer = cls(cls._load(source), **settings)
        seconds, most = settings.get("seconds"), preparer.capacity
        if seconds is not None and not 0 < seconds * preparer.rate <= (most or np.inf):
            limit = f"at most {most / preparer.rate:g} s" if most else "as long as you like"
            raise InputError(f"prepare.seconds is {seconds}; a sound must be longer than 0 s, and {limit} here")
        return preparer

    @property
    def rate(self) -> int:
        """Samples per second that the encoder was made for."""
        return int(self.processor.sampling_rate)

    @property
    def capacity(self) -> int | None:
        """How many samples the extractor takes at most; None where it takes any number."""
        if (frames := self._frames) is not None:
            return self._span(WINDOW) + (frames - 1) * self._span(HOP)
        chunk = getattr(self.processor, "n_samples", None) or getattr(self.processor, "nb_max_samples", None)
        return None if chunk is None else int(chunk)  # Whisper, CLAP

    @property
    def samples(self) -> int:
        """How many samples of a sound are used."""
        if "seconds" in self.settings:
            return round(self.settings["seconds"] * self.rate)
        return self.capacity or round(SECONDS * self.rate)

    @property
    def _frames(self) -> int | None:
        """The length of AST's spectrograms; None for other extractors."""
        counts_frames = hasattr(self.processor, "num_mel_bins") and hasattr(self.processor, "max_length")
        return int(self.processor.max_length) if counts_frames else None

    def _span(self, seconds: float) -> int:
        return round(seconds * self.rate)

    def load(self, item: Any) -> Any:
        """Samples (n,) at the encoder's rate; what is too long is cut, and a note says so."""
        sound = media.load_audio(item, self.rate)
        if len(sound) > self.samples:
            notes.warning(
                "a sound of %.2f s is cut to its first %.2f s; %s",
                len(sound) / self.rate,
                self.samples / self.rate,
                "its encoder reads no more" if self.samples == self.capacity else "set prepare.seconds for more",
            )
        return sound[: self.samples]

    def batch(self, loaded: Sequence[Any]) -> Mapping[str, Any]:
        """What the extractor makes of them."""
        least = self._span(WINDOW)  # a spectrogram needs one whole window
        sounds = [np.pad(sound, (0, max(0, least - len(sound)))) for sound in loaded]
        options: dict[str, Any] = {"sampling_rate": self.rate, "return_tensors": "pt"}
        if self._frames is not None:
            made = dict(self.processor(sounds, **options))
            return made | {"attention_mask": self._real_frames(sounds, self._frames)}
        if self.capacity is None:
            options |= {"max_length": self.samples, "truncation": True}
        elif self._repeats:
            made = dict(self.processor(sounds, **options))
            # Of sounds that fit, CLAP's extractor calls a random one too long, since its training needs one.
            return made | {"is_longer": torch.zeros_like(made["is_longer"])}
        return self.processor(sounds, **options, padding="max_length", return_attention_mask=True)

    @property
    def _repeats(self) -> bool:
        return hasattr(self.processor, "nb_max_samples") and not hasattr(self.processor, "n_samples")

    def _real_frames(self, sounds: Sequence[Any], frames: int) -> Tensor:
        counts = torch.tensor([1 + (len(sound) - self._span(WINDOW)) // self._span(HOP) for sound in sounds])
        return (torch.arange(frames) < counts[:, None]).long()
