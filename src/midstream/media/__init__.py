"""Files, bytes and objects to arrays. All decoding lives here; nothing here knows a model.

Every loader gives a correct decode or one `InputError`, within the limits of `midstream.media.limits`; docs/media.md
says which formats and how much.
"""

from midstream.media.audio import load_audio
from midstream.media.images import load_image
from midstream.media.limits import (
    MAX_AMPLITUDE,
    MAX_AUDIO_CHANNELS,
    MAX_AUDIO_SECONDS,
    MAX_AUDIO_VALUES,
    MAX_FILE_BYTES,
    MAX_IMAGE_PIXELS,
    MAX_IMAGE_RATIO,
    MAX_JPEG_SCANS,
    MAX_SAMPLING_RATE,
    MAX_SERIES_CHANNELS,
    MAX_SERIES_VALUES,
    MAX_VIDEO_BYTES,
    MAX_VIDEO_FRAMES,
    MAX_VIDEO_PIXELS,
    MAX_VIDEO_SECONDS,
    MAX_VIDEO_WORK,
    MIN_SAMPLING_RATE,
)
from midstream.media.molecules import load_molecule
from midstream.media.series import load_series
from midstream.media.tables import load_row
from midstream.media.video import load_video

__all__ = [
    "MAX_AMPLITUDE",
    "MAX_AUDIO_CHANNELS",
    "MAX_AUDIO_SECONDS",
    "MAX_AUDIO_VALUES",
    "MAX_FILE_BYTES",
    "MAX_IMAGE_PIXELS",
    "MAX_IMAGE_RATIO",
    "MAX_JPEG_SCANS",
    "MAX_SAMPLING_RATE",
    "MAX_SERIES_CHANNELS",
    "MAX_SERIES_VALUES",
    "MAX_VIDEO_BYTES",
    "MAX_VIDEO_FRAMES",
    "MAX_VIDEO_PIXELS",
    "MAX_VIDEO_SECONDS",
    "MAX_VIDEO_WORK",
    "MIN_SAMPLING_RATE",
    "load_audio",
    "load_image",
    "load_molecule",
    "load_row",
    "load_series",
    "load_video",
]
