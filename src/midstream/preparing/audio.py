"""Sound, by the encoder's own feature extractor: mono, at its rate, cut or padded to one length."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from transformers import AutoFeatureExtractor

from midstream import media
from midstream.errors import InputError
from midstream.preparing.preparer import Preparer, load_with, notes

SECONDS = 10.0
"""How long sounds are for an extractor that has no length of its own (wav2vec2, HuBERT)."""


class AudioPreparer(Preparer):
    """Paths, bytes or samples to `input_values` or `input_features` (N, ...), with an `attention_mask` where one is made."""

    medium = "audio"
    SETTINGS = ("seconds",)

    @classmethod
    def open(cls, source: str, config: Any, **settings: Any) -> Self:
        """The feature extractor beside the encoder; `seconds` is how much of a sound is used."""
        seconds = settings.get("seconds")
        if seconds is not None and not seconds > 0:
            raise InputError(f"prepare.seconds is {seconds}; a sound must be longer than 0 s")
        return cls(cls._load(source), **settings)

    @classmethod
    def _load(cls, source: str) -> Any:
        return load_with(AutoFeatureExtractor, source, "feature extractor")

    @property
    def rate(self) -> int:
        """Samples per second that the encoder was made for."""
        return int(self.processor.sampling_rate)

    @property
    def samples(self) -> int | None:
        """How many samples of a sound are used; None where the extractor has a length of its own."""
        if "seconds" in self.settings:
            return round(self.settings["seconds"] * self.rate)
        # Frames of spectrograms (AST: max_length; Whisper, CLAP: samples of a chunk) are the extractor's own affair.
        fixed = any(getattr(self.processor, name, None) for name in ("max_length", "nb_max_samples", "n_samples"))
        return None if fixed else round(SECONDS * self.rate)

    def load(self, item: Any) -> Any:
        """Samples (n,) at the encoder's rate; what is too long is cut, and a note says so."""
        sound = media.load_audio(item, self.rate)
        if self.samples is not None and len(sound) > self.samples:
            notes.warning(
                "a sound of %.1f s is cut to its first %.1f s; set prepare.seconds for more",
                len(sound) / self.rate,
                self.samples / self.rate,
            )
            sound = sound[: self.samples]
        return sound

    def batch(self, loaded: Sequence[Any]) -> Mapping[str, Any]:
        """What the extractor makes of them."""
        options: dict[str, Any] = {"sampling_rate": self.rate, "return_tensors": "pt"}
        if self.samples is not None:
            options |= {"padding": "max_length", "max_length": self.samples, "truncation": True}
            options |= {"return_attention_mask": True}
        return self.processor(list(loaded), **options)
