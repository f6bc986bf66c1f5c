"""A tiny real file, or value, of every medium: small enough for seconds, and decoded like any other."""

import math
import struct
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from midstream.errors import InputError

COLOURS = ("red", "green", "blue", "yellow")
"""What the samples are called, in turn."""
SMILES = ("CCO", "c1ccccc1", "CC(=O)O", "CCN")
RATE = 16_000
SIDE = 32


def label(index: int) -> str:
    """The answer to what sample `index` is."""
    return COLOURS[index % len(COLOURS)]


def picture(path: Path, index: int) -> str:
    """A JPEG of one colour, 36 pixels high."""
    Image.new("RGB", (40 + index, 36), label(index)).save(path.with_suffix(".jpg"))
    return str(path.with_suffix(".jpg"))


def sound(path: Path, index: int) -> str:
    """A WAV of half a second, a tone whose pitch tells the samples apart."""
    pitch = 220 * 2 ** (index % len(COLOURS))
    values = [int(9000 * math.sin(2 * math.pi * pitch * n / RATE)) for n in range(RATE // 2)]
    with wave.open(str(path.with_suffix(".wav")), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(struct.pack(f"<{len(values)}h", *values))
    return str(path.with_suffix(".wav"))


def clip(path: Path, index: int) -> str:
    """An MP4 of eight frames: a square of one colour crosses the picture.

    Raises:
        InputError: PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise InputError("videos need PyAV; install it with: pip install 'midstream[video]'") from None
    with av.open(str(path.with_suffix(".mp4")), "w") as file:
        stream = file.add_stream("mpeg4", rate=8)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for number in range(8):
            frame = Image.new("RGB", (SIDE, SIDE), "black")
            ImageDraw.Draw(frame).rectangle((3 * number, 12, 3 * number + 8, 20), fill=label(index))
            file.mux(stream.encode(av.VideoFrame.from_image(frame)))
        file.mux(stream.encode())
    return str(path.with_suffix(".mp4"))


def series(path: Path, index: int, channels: int = 1, length: int = 64) -> list[list[float]]:
    """Values (time, channels): a wave whose period tells the samples apart."""
    period = 4 + 4 * (index % len(COLOURS))
    return [
        [round(math.sin(2 * math.pi * (t / period + c / channels)), 4) for c in range(channels)] for t in range(length)
    ]


MAKERS: dict[str, Callable[[Path, int], Any]] = {
    "image": picture,
    "audio": sound,
    "video": clip,
    "molecule": lambda path, index: SMILES[index % len(SMILES)],
    "series": series,
}
"""Medium -> what makes sample `index`: a file at `path` (which gets its ending), whose path is returned; or a value."""
FILES = ("image", "audio", "video")
"""Media whose samples are files."""


def sample(medium: str, path: Path, index: int) -> Any:
    """Sample `index` of a medium; its folder is made where it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return MAKERS[medium](path, index)
