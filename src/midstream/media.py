"""Files and bytes to pictures. All decoding lives here; nothing here knows a model."""

import io
import warnings
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from midstream.errors import InputError

MAX_IMAGE_PIXELS = 64_000_000
"""Largest picture that is decoded (8000 x 8000): about 200 MB as RGB."""


def load_image(source: Any) -> Image.Image:
    """A picture as RGB, upright (EXIF rotation applied), transparency laid on white; animations give their first frame.

    Args:
        source: a path, the bytes of a PNG/JPEG/WebP/... file, or a PIL image.

    Raises:
        InputError: missing, empty, truncated, not an image, or more than `MAX_IMAGE_PIXELS` pixels.
    """
    name = str(source) if isinstance(source, str | Path) else "the given bytes or picture"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a decoder mutters about a file it can read nevertheless
        try:
            return _decode(_opened(source), name)
        except UnidentifiedImageError:
            raise InputError(f"{name} is not an image that can be read; give a PNG, JPEG or WebP file") from None
        except InputError:
            raise
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"{name} cannot be decoded ({reason}); the file is damaged or incomplete") from None


def _opened(source: Any) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, bytes):
        return Image.open(io.BytesIO(source))
    if isinstance(source, str | Path):
        return Image.open(_existing(Path(source)))
    raise InputError(f"an image must be a path, bytes or a PIL image, not {type(source).__name__}")


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file; check the path")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); give a PNG, JPEG or WebP file")
    return path


def _decode(picture: Image.Image, name: str) -> Image.Image:
    width, height = picture.size
    if width * height > MAX_IMAGE_PIXELS:
        raise InputError(
            f"{name} is {width} x {height} pixels, more than the {MAX_IMAGE_PIXELS:,} that are decoded; scale it down"
        )
    if width == 0 or height == 0:
        raise InputError(f"{name} is {width} x {height} pixels; a picture needs at least one")
    picture.load()
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in {"I;16", "I;16B", "I;16L", "I"}:
        picture = picture.point(lambda value: value / 256).convert("L")
    if "A" in picture.mode or "transparency" in picture.info:
        canvas = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(canvas, picture.convert("RGBA"))
    return picture.convert("RGB")
