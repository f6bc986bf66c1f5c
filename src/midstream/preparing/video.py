"""Moving pictures, by the encoder's own processor: as many frames as it reads, evenly spread over the clip."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from transformers import AutoImageProcessor, BaseVideoProcessor

from midstream import media
from midstream.encoders.layouts import frames_read
from midstream.errors import InputError
from midstream.preparing.preparer import Preparer, load_with

FRAMES = 8
"""How many frames an encoder of single pictures is shown."""


class VideoPreparer(Preparer):
    """Paths, bytes or frames (F, H, W, 3) to `pixel_values` (N, F, C, H, W)."""

    medium = "video"
    SETTINGS = ("frames",)

    @classmethod
    def open(cls, source: str, config: Any, **settings: Any) -> Self:
        """The processor beside the encoder; `frames` only for an encoder of single pictures."""
        fixed = frames_read(config)
        frames = settings.setdefault("frames", fixed or FRAMES)
        if frames < 1 or (fixed and frames != fixed):
            raise InputError(f"prepare.frames is {frames}, but the encoder {source!r} reads {fixed or '1 or more'}")
        return cls(cls._load(source), **settings)

    @classmethod
    def _load(cls, source: str) -> Any:
        try:
            return AutoImageProcessor.from_pretrained(source)
        except (OSError, ValueError, ImportError):  # V-JEPA 2 brings a video processor only, which needs torchvision
            from transformers import AutoVideoProcessor

            return load_with(AutoVideoProcessor, "video processor", source)

    def load(self, item: Any) -> Any:
        """Frames (F, H, W, 3), uint8."""
        return media.load_video(item, self.settings["frames"])

    def batch(self, loaded: Sequence[Any]) -> Mapping[str, Any]:
        """Clips through a video processor, without sampling again; or each frame through an image processor."""
        if isinstance(self.processor, BaseVideoProcessor):
            clips = [np.asarray(clip) for clip in loaded]
            return self.processor(clips, do_sample_frames=False, return_tensors="pt")
        frames = [frame for clip in loaded for frame in clip]
        made = self.processor(frames, return_tensors="pt")["pixel_values"]
        return {"pixel_values": made.reshape(len(loaded), -1, *made.shape[-3:])}
