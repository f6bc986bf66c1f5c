"""What is decoded at most. Every limit is checked before the memory it guards is taken; docs/media.md has the table."""

from typing import Final

MAX_FILE_BYTES: Final = 2 * 1024**3
"""Largest file that is opened."""

MAX_IMAGE_PIXELS: Final = 64_000_000
"""Largest picture that is decoded (8000 x 8000): about 250 MB as RGB, four times that at the worst moment."""

MAX_IMAGE_RATIO: Final = 200
"""Longest side of a picture over its shortest: processors scale by the shortest, and a thread of pixels would burst."""

MAX_JPEG_SCANS: Final = 100
"""Passes of a progressive JPEG; each costs as much as a whole decode. Cameras and browsers write about ten."""

MAX_AUDIO_SECONDS: Final = 3600
"""Longest recording, by its header and by what is decoded."""

MAX_AUDIO_VALUES: Final = 400_000_000
"""Most samples times channels, decoded or resampled: an hour of stereo at 48 kHz fits."""

MIN_SAMPLING_RATE: Final = 1
MAX_SAMPLING_RATE: Final = 768_000
"""Sampling rates in Hz, of files and of what is asked for."""

MAX_AUDIO_CHANNELS: Final = 64
"""Most channels that are mixed down."""

MAX_AMPLITUDE: Final = 1e6
"""Largest sample: full scale is 1, integers kept as floats reach 32,768; beyond a million it is no sound."""

MAX_VIDEO_SECONDS: Final = 3600
"""Longest clip, by its header."""

MAX_VIDEO_FRAMES: Final = 36_000
"""Most frames that are decoded: twenty minutes at 30 frames a second."""

MAX_VIDEO_PIXELS: Final = 9_437_184
"""Largest frame (4096 x 2304)."""

MAX_VIDEO_WORK: Final = 20_000_000_000
"""Most pixels decoded in one clip, all frames together: five minutes of 1080p at 30 frames a second."""

MAX_VIDEO_BYTES: Final = 1024**3
"""Largest result: frames x height x width x 3."""

MAX_SERIES_VALUES: Final = 16_000_000
"""Most time steps times channels: 64 MB as float32."""

MAX_SERIES_CHANNELS: Final = 4096
"""Most channels of a series."""
