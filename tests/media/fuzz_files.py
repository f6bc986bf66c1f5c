"""Tiny real files of every format, written with the libraries that people write them with. The fuzzer damages them."""

import io
import json
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import av
import numpy as np
import soundfile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

WIDTH, HEIGHT = 16, 12
SAMPLES, RATE = 400, 8000
FRAMES = 4


def picture(shade: int = 0) -> Image.Image:
    """A ramp of red across, of green down, and noise in blue."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, WIDTH)
    pixels[..., 1] = np.linspace(0, 255, HEIGHT)[:, None]
    pixels[..., 2] = np.random.default_rng(shade).integers(0, 255, (HEIGHT, WIDTH))
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a picture file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tone(channels: int = 1, samples: int = SAMPLES) -> np.ndarray:
    """(samples, channels) float64: a sine, each channel quieter and out of step."""
    time = np.arange(samples)[:, None]
    return 0.5 * np.sin(time / 7 + np.arange(channels)) / (1 + np.arange(channels))


def recording(kind: str, subtype: str | None = None, channels: int = 1, rate: int = RATE, **options: Any) -> bytes:
    """The bytes of an audio file."""
    file = io.BytesIO()
    soundfile.write(file, tone(channels), rate, format=kind, subtype=subtype, **options)
    return file.getvalue()


def clip(kind: str, codec: str, pixels: str = "yuv420p", side: int = 16, frames: int = FRAMES, **options: str) -> bytes:
    """The bytes of a video file: `frames` flat frames, each lighter than the one before."""
    os.environ["SVT_LOG"] = "0"  # two encoders that introduce themselves on standard error
    file = io.BytesIO()
    with av.open(file, "w", format=kind, options=options) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width = stream.height = side
        stream.pix_fmt = pixels
        stream.options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        for shade in np.linspace(20, 235, frames):
            frame = av.VideoFrame.from_ndarray(np.full((side, side, 3), int(shade), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def _text_in_png() -> bytes:
    words = PngInfo()
    words.add_text("Comment", "grey " * 50, zip=True)
    words.add_itxt("Title", "ramp", "en", "Rampe", zip=True)
    return encoded(picture(), "PNG", pnginfo=words, icc_profile=b"profile " * 20)


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(), "JPEG", exif=exif)


def _half_seen() -> Image.Image:
    image = picture().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize((WIDTH, HEIGHT)))
    return image


def _array(*arrays: np.ndarray, packed: bool = False, **named: np.ndarray) -> bytes:
    file = io.BytesIO()
    if packed or named:
        (np.savez_compressed if packed else np.savez)(file, *arrays, **named)
    else:
        np.save(file, arrays[0])
    return file.getvalue()


def _csv(delimiter: str = ",", header: bool = True) -> bytes:
    lines = [delimiter.join(f"{value:.4f}" for value in row) for row in tone(3, 20)]
    return "\n".join(([delimiter.join(("x", "y", "z"))] if header else []) + lines).encode()


def _animated(kind: str, **options: Any) -> bytes:
    others = [picture(shade) for shade in range(1, FRAMES)]
    return encoded(picture(), kind, save_all=True, append_images=others, duration=100, **options)


def _sixteen_bits() -> Image.Image:
    return Image.fromarray(np.linspace(0, 65535, WIDTH * HEIGHT).astype(np.uint16).reshape(HEIGHT, WIDTH))


VARIANTS: dict[str, tuple[Callable[[], bytes], ...]] = {
    "png": (
        lambda: encoded(picture(), "PNG"),
        lambda: encoded(picture().quantize(16), "PNG", transparency=0),
        lambda: encoded(_half_seen(), "PNG"),
        lambda: encoded(_sixteen_bits(), "PNG"),
        lambda: _animated("PNG"),
        _text_in_png,
    ),
    "jpeg": (
        lambda: encoded(picture(), "JPEG"),
        lambda: encoded(picture(), "JPEG", progressive=True),
        lambda: encoded(picture().convert("CMYK"), "JPEG"),
        lambda: encoded(picture().convert("L"), "JPEG"),
        _turned,
    ),
    "webp": (
        lambda: encoded(picture(), "WEBP"),
        lambda: encoded(_half_seen(), "WEBP", lossless=True),
        lambda: _animated("WEBP"),
    ),
    "gif": (
        lambda: encoded(picture(), "GIF"),
        lambda: encoded(picture().quantize(16), "GIF", transparency=0),
        lambda: _animated("GIF"),
    ),
    "bmp": (
        lambda: encoded(picture(), "BMP"),
        lambda: encoded(picture().quantize(16), "BMP"),
        lambda: encoded(picture().convert("1"), "BMP"),
    ),
    "tiff": (
        lambda: encoded(picture(), "TIFF"),
        lambda: encoded(picture(), "TIFF", compression="tiff_lzw"),
        lambda: encoded(picture(), "TIFF", compression="tiff_adobe_deflate"),
        lambda: encoded(picture().convert("CMYK"), "TIFF", compression="packbits"),
        lambda: encoded(picture().convert("1"), "TIFF", compression="group4"),
        lambda: encoded(picture(), "TIFF", compression="jpeg"),
        lambda: encoded(_sixteen_bits(), "TIFF"),
    ),
    "ppm": (lambda: encoded(picture(), "PPM"), lambda: encoded(picture().convert("1"), "PPM")),
    "avif": (lambda: encoded(picture(), "AVIF"), lambda: encoded(_half_seen(), "AVIF")),
    "wav": (
        lambda: recording("WAV"),
        lambda: recording("WAV", "FLOAT", 2),
        lambda: recording("WAV", "DOUBLE", endian="BIG"),
        lambda: recording("WAV", "ULAW"),
        lambda: recording("WAV", "IMA_ADPCM"),
        lambda: recording("WAV", "MS_ADPCM", 2),
        lambda: recording("WAV", "GSM610"),
        lambda: recording("WAVEX", "PCM_24", 3, 44100),
        lambda: recording("RF64", "PCM_16"),
    ),
    "flac": (lambda: recording("FLAC"), lambda: recording("FLAC", "PCM_24", 2, 48000)),
    "ogg": (
        lambda: recording("OGG"),
        lambda: recording("OGG", "OPUS", 2),
        lambda: recording("OGG", "VORBIS", 2, 44100),
    ),
    "mp3": (lambda: recording("MP3"), lambda: recording("MP3", None, 2, 44100)),
    "mp4": (
        lambda: clip("mp4", "libx264"),
        lambda: clip("mp4", "mpeg4"),
        lambda: clip("mp4", "libx264", movflags="frag_keyframe+empty_moov"),
        lambda: clip("mov", "mjpeg", "yuvj420p"),
        lambda: clip("mp4", "libx265"),
        lambda: clip("mp4", "libsvtav1", side=64),
    ),
    "webm": (lambda: clip("webm", "libvpx"), lambda: clip("webm", "libvpx-vp9"), lambda: clip("matroska", "libx264")),
    "gif_clip": (lambda: _animated("GIF"), lambda: clip("gif", "gif", "rgb8"), lambda: _animated("GIF", disposal=2)),
    "npy": (
        lambda: _array(tone(3)),
        lambda: _array(tone()[:, 0].astype(np.float32)),
        lambda: _array(np.asfortranarray((tone(2) * 1000).astype(">i2"))),
    ),
    "npz": (lambda: _array(tone(3), packed=True), lambda: _array(series=tone(2), other=tone(1))),
    "csv": (_csv, lambda: _csv(";"), lambda: _csv("\t", header=False)),
    "json": (
        lambda: json.dumps(tone(2, 20).round(4).tolist()).encode(),
        lambda: json.dumps({"x": tone(1, 20)[:, 0].round(4).tolist(), "y": list(range(20))}).encode(),
    ),
    "row": (lambda: b'{"age": 63, "colour": "red", "dose": 1.5}', lambda: b"age=63, colour=red, dose=1.5"),
    "smiles": (
        lambda: b"CC(=O)Oc1ccccc1C(=O)O",
        lambda: b"C[C@H](N)C(=O)O",
        lambda: b"[O-][N+](=O)c1ccc2[nH]ccc2c1",
        lambda: b"F/C=C/F",
    ),
}
"""Format -> how its files are written."""


@cache
def files(kind: str) -> tuple[bytes, ...]:
    """One file of every variant of a format."""
    return tuple(write() for write in VARIANTS[kind])
