"""Real picture files, whole and broken: each gives the right RGB or one sentence, never another exception."""

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from midstream.errors import InputError
from midstream.media import MAX_IMAGE_PIXELS, load_image

WIDTH, HEIGHT = 24, 16


def _colours() -> Image.Image:
    """Left half red, right half a vertical ramp of blue: another picture when mirrored or turned."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, : WIDTH // 2, 0] = 200
    pixels[:, WIDTH // 2 :, 2] = np.linspace(0, 250, HEIGHT, dtype=np.uint8)[:, None]
    return Image.fromarray(pixels)


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(
        file, kind, **({"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}) | options
    )
    return file.getvalue()


def _near(found: Image.Image, expected: Image.Image, tolerance: int = 0) -> bool:
    assert found.mode == "RGB"
    if found.size != expected.size:
        return False
    difference = np.abs(np.asarray(found, np.int16) - np.asarray(expected.convert("RGB"), np.int16))
    return float(difference.mean()) <= tolerance


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_files_bytes_and_pictures_are_the_same(kind: str, tmp_path: Path) -> None:
    data, expected = _encoded(_colours(), kind), _colours()
    path = tmp_path / f"picture.{kind.lower()}"
    path.write_bytes(data)
    tolerance = 8 if kind == "JPEG" else 0
    for source in (path, str(path), data, Image.open(io.BytesIO(data))):
        assert _near(load_image(source), expected, tolerance)
    assert not _near(load_image(data), expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 8), "the control"


def _half_seen() -> Image.Image:
    picture = _colours().convert("RGBA")
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, : WIDTH // 2] = 0
    picture.putalpha(Image.fromarray(alpha))
    return picture


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_on_white(kind: str) -> None:
    """A transparent red must not come out red (or black): nobody saw it."""
    found = np.asarray(load_image(_encoded(_half_seen(), kind)))
    assert (found[:, : WIDTH // 2] == 255).all()
    assert (found[:, WIDTH // 2 :] == np.asarray(_colours())[:, WIDTH // 2 :]).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "CMYK", "YCbCr", "HSV", "RGBX"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    source = _colours().convert("P").convert("PA") if mode == "PA" else _colours().convert(mode)
    expected = _colours().convert("L") if mode == "LA" else source if mode in {"1", "L"} else _colours()
    assert _near(load_image(source), expected, 8)
    assert not _near(load_image(source), Image.new("RGB", (WIDTH, HEIGHT)), 8), "the control"


def test_palette_transparency_and_16_bits_in_real_files() -> None:
    palette = _colours().convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    seen = load_image(_encoded(palette, "PNG", transparency=palette.getpixel((0, 0))))
    assert seen.getpixel((0, 0)) == (255, 255, 255)
    sixteen = (np.asarray(_colours().convert("L"), np.uint16) << 8) + 7
    for kind in ("PNG", "TIFF"):
        assert _near(load_image(_encoded(Image.fromarray(sixteen), kind)), _colours().convert("L"), 1)
    assert _near(load_image(_encoded(_colours().convert("CMYK"), "JPEG")), _colours(), 12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone(orientation: int) -> None:
    """A phone stores the sensor's picture and how it was held."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = _colours().transpose(undo[orientation]) if orientation in undo else _colours()
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert _near(load_image(_encoded(stored, "JPEG", exif=exif)), _colours(), 8)
    if orientation > 1:
        assert not _near(load_image(_encoded(stored, "JPEG")), _colours(), 8), "the control: it was turned"


def test_an_animation_gives_its_first_frame() -> None:
    first, second = _colours(), Image.new("RGB", (WIDTH, HEIGHT), "green")
    for kind in ("GIF", "WEBP"):
        assert _near(load_image(_encoded(first, kind, save_all=True, append_images=[second])), first, 8)


MAKERS: dict[str, Callable[[], bytes]] = {
    "png": lambda: _encoded(_noise(), "PNG"),
    "png_alpha": lambda: _encoded(_half_seen(), "PNG"),
    "jpeg": lambda: _encoded(_noise(), "JPEG"),
    "jpeg_progressive": lambda: _encoded(_noise(), "JPEG", progressive=True),
    "gif": lambda: _encoded(_noise(), "GIF"),
    "webp": lambda: _encoded(_noise(), "WEBP"),
    "tiff": lambda: _encoded(_noise(), "TIFF"),
    "tiff_lzw": lambda: _encoded(_noise(), "TIFF", compression="tiff_lzw"),
    "bmp": lambda: _encoded(_noise(), "BMP"),
}


def _noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))


@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize("name", MAKERS)
def test_a_truncated_file_is_refused_or_whole(name: str, part: int) -> None:
    """What is cut off may have been only a footer; half a picture must never pass for a picture."""
    data = MAKERS[name]()
    whole = load_image(data)
    try:
        found = load_image(data[: len(data) * part // 10])
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert _near(found, whole)


@settings(max_examples=40)
@given(st.sampled_from(sorted(MAKERS)), st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_a_damaged_file_never_raises_anything_else(name: str, place: int, value: int, early: bool) -> None:
    data = bytearray(MAKERS[name]())
    data[place % (min(len(data), 120) if early else len(data))] = value
    try:
        assert load_image(bytes(data)).mode == "RGB"
    except InputError as error:
        assert len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n", b"hello, world", b"%PDF-1.7 not a picture", bytes(2000), b"GIF89a"]
)
def test_what_is_no_picture_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(data)
    with pytest.raises(InputError):
        load_image(data)
    with pytest.raises(InputError, match=r"file\.png"):
        load_image(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_image(tmp_path / "missing.png")
    with pytest.raises(InputError, match="not a file"):
        load_image(tmp_path)
    (tmp_path / "empty.png").touch()
    with pytest.raises(InputError, match="empty"):
        load_image(tmp_path / "empty.png")
    for wrong in (None, 3, ["a.png"]):
        with pytest.raises(InputError, match="path, bytes or a PIL image"):
            load_image(wrong)


def _png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8001, 9500, 14000, 60000])
def test_a_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    """Sides just above our limit, above Pillow's warning and above its error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError):
            load_image(_png_header(side, side))
    assert side * side > MAX_IMAGE_PIXELS


def test_threads_of_pixels_are_refused() -> None:
    """A processor scales by the shortest side: a picture of 100,000 x 1 would become gigabytes."""
    assert load_image(Image.new("L", (200, 1))).size == (200, 1)
    for size in ((201, 1), (1, 100_000)):
        with pytest.raises(InputError, match="one side more than 200 times the other"):
            load_image(Image.new("L", size))


def test_formats_that_start_other_programs_are_not_opened() -> None:
    """Pillow hands EPS to Ghostscript; content decides, so its name does not help."""
    file = io.BytesIO()
    _colours().save(file, "EPS")
    with pytest.raises(InputError, match="not an image that can be read"):
        load_image(file.getvalue())


def test_floating_point_pixels_are_refused() -> None:
    data = _encoded(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF")
    with pytest.raises(InputError, match="floating-point"):
        load_image(data)


def test_bytes_or_path_in_a_mapping(tmp_path: Path) -> None:
    data = _encoded(_colours(), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    for source in ({"bytes": data, "path": None}, {"bytes": None, "path": str(tmp_path / "a.png")}):
        assert _near(load_image(source), _colours())


@pytest.mark.parametrize("kind", ["tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"])
def test_libtiff_keeps_quiet(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    data, talked = _encoded(_noise(), "TIFF", compression=kind), ""
    for place in range(8, len(data), len(data) // 40):
        damaged = data[:place] + b"\xff\x00\xff" + data[place + 3 :]
        with contextlib.suppress(InputError):
            load_image(damaged)
        assert capfd.readouterr().err == ""
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(io.BytesIO(damaged)).load()
        talked += capfd.readouterr().err
    assert talked or kind == "packbits", "the control: libtiff would talk"
