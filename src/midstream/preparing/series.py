"""Time series of several channels, as PatchTST-style encoders read them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from midstream import media
from midstream.errors import InputError
from midstream.preparing.preparer import Preparer


class SeriesPreparer(Preparer):
    """Files or arrays (time, channels) to `past_values` (N, length, channels), resampled to the encoder's length."""

    medium = "series"
    SETTINGS = ("length", "channels")

    @classmethod
    def open(cls, source: str, config: Any, **settings: Any) -> Self:
        """Length and channels are the encoder's: `context_length` and `num_input_channels` of its config."""
        settings.setdefault("length", getattr(config, "context_length", None))
        settings.setdefault("channels", getattr(config, "num_input_channels", None))
        if settings["length"] is None:
            raise InputError(f"the encoder {source!r} does not say how long a series it reads; set prepare.length")
        return cls(None, **settings)

    def save(self, folder: str | Path) -> None:
        """Nothing: the settings say it all."""

    def load(self, item: Any) -> Any:
        """Values (length, channels), interpolated linearly in time where the series has another length."""
        series = np.asarray(media.load_series(item), dtype=np.float32)
        channels, length = self.settings["channels"], self.settings["length"]
        if channels is not None and series.shape[1] != channels:
            raise InputError(f"the series has {series.shape[1]} channels; the encoder reads {channels}")
        if len(series) == length:
            return series
        there, wanted = np.linspace(0, 1, len(series)), np.linspace(0, 1, length)
        return np.stack([np.interp(wanted, there, channel) for channel in series.T], axis=1).astype(np.float32)

    def batch(self, loaded: Sequence[Any]) -> Mapping[str, Any]:
        """Stacked."""
        return {"past_values": torch.from_numpy(np.stack(loaded))}
