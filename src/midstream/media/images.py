"""Picture files, bytes and PIL images to upright RGB."""

import io
import logging
import warnings
from contextlib import nullcontext
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from midstream.errors import InputError
from midstream.media.limits import MAX_IMAGE_PIXELS, MAX_IMAGE_RATIO, MAX_JPEG_SCANS
from midstream.media.quiet import without_stderr
from midstream.media.sources import decoding, name_of, opened, unwrapped

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF")
"""What is opened, whatever the file's name. Pillow knows more, some of which start other programs (EPS)."""

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it logs is no error of ours; not to standard error

KINDS = "PNG, JPEG or WebP"


def load_image(source: Any) -> Image.Image:
    """A picture as RGB, upright (EXIF rotation applied), transparency laid on white; animations give their first frame.

    Args:
        source: a path, the bytes of a PNG/JPEG/WebP/GIF/BMP/TIFF/PPM/AVIF file, {"bytes": ..., "path": ...}, or a PIL
            image.

    Raises:
        InputError: missing, empty, truncated, not an image, or beyond a limit of `midstream.media.limits`.
    """
    source = unwrapped(source)
    name = name_of(source, "the given bytes or picture")
    with warnings.catch_warnings(), decoding(name):
        warnings.simplefilter("ignore")  # what a decoder mutters about a file it can read nevertheless
        try:
            return _decoded(_picture(source, name), name)
        except UnidentifiedImageError:
            raise InputError(f"{name} is not an image that can be read; give a {KINDS} file") from None


def _picture(source: Any, name: str) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if not isinstance(source, str | bytes | bytearray | memoryview) and not hasattr(source, "__fspath__"):
        raise InputError(f"an image must be a path, bytes or a PIL image, not {type(source).__name__}")
    with opened(source, KINDS) as file:
        data = file.read()
    # Within the data of a scan, 0xFF is always followed by 0x00: a marker is a marker.
    if data[:2] == b"\xff\xd8" and data.count(b"\xff\xda") > MAX_JPEG_SCANS:
        scans = data.count(b"\xff\xda")
        raise InputError(f"{name} is a JPEG of {scans:,} scans, more than the {MAX_JPEG_SCANS} decoded; save it anew")
    return Image.open(io.BytesIO(data), formats=FORMATS)


def check_size(picture: Image.Image, name: str) -> None:
    """Refuse a picture by its header.

    Raises:
        InputError: no pixels, more than `MAX_IMAGE_PIXELS`, or sides further apart than `MAX_IMAGE_RATIO`.
    """
    width, height = picture.size
    if width * height > MAX_IMAGE_PIXELS:
        raise InputError(
            f"{name} is {width} x {height} pixels, more than the {MAX_IMAGE_PIXELS:,} that are decoded; scale it down"
        )
    if width == 0 or height == 0:
        raise InputError(f"{name} is {width} x {height} pixels; a picture needs at least one")
    if max(width, height) > MAX_IMAGE_RATIO * min(width, height):
        raise InputError(
            f"{name} is {width} x {height} pixels, one side more than {MAX_IMAGE_RATIO} times the other; cut it up"
        )


def _decoded(picture: Image.Image, name: str) -> Image.Image:
    check_size(picture, name)
    with without_stderr() if picture.format == "TIFF" else nullcontext():  # libtiff talks
        picture.load()
    check_size(picture, name)
    return as_rgb(ImageOps.exif_transpose(picture), name)


def as_rgb(picture: Image.Image, name: str) -> Image.Image:
    """A decoded picture of any mode as RGB, transparency on white.

    Raises:
        InputError: floating-point pixels, whose black and white nobody knows.
    """
    if picture.mode == "F":
        raise InputError(f"{name} has floating-point pixels, whose range is unknown; save it with 8 or 16 bits")
    if picture.mode.startswith("I"):
        picture = picture.point(lambda value: value / 256).convert("L")
    if "A" in picture.mode or "transparency" in picture.info:
        canvas = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(canvas, picture.convert("RGBA"))
    return picture.convert("RGB")
