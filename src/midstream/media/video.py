"""Clips (MP4, MOV, WebM, MKV through PyAV; GIF, folders of images through Pillow) and arrays to evenly taken frames."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from midstream.errors import InputError
from midstream.media.containers import from_container
from midstream.media.images import FORMATS, as_rgb, load_image
from midstream.media.limits import MAX_VIDEO_FRAMES
from midstream.media.sampling import check_result, check_work, sampled
from midstream.media.sources import decoding, head_of, name_of, opened, unwrapped

KINDS = "MP4, WebM or GIF"


def load_video(source: Any, frames: int) -> NDArray[np.uint8]:
    """`frames` pictures of a clip, evenly taken: (frames, height, width, 3) uint8 RGB, upright.

    Of N frames the ones at floor((2 k + 1) N / (2 `frames`)), k = 0, 1, ..., are taken: the middle of each of `frames`
    equal parts. A shorter clip repeats frames. The same file always gives the same frames.

    Args:
        source: a path or bytes of MP4, MOV, WebM, MKV or GIF (the content decides, not the name), a folder of images
            (sorted by name, numbers by value), a list of images or of uint8 arrays,
            {"bytes": ..., "path": ...}, a uint8 array (N, height, width, 3), or {"frames": such an array, "fps": frames
            per second}.
        frames: how many to take.

    Raises:
        InputError: missing, empty, damaged, truncated, not a clip, beyond a limit of `midstream.media.limits`, or PyAV
            is not installed.
    """
    source = unwrapped(source)
    name = name_of(source, "the given video")
    if isinstance(frames, bool) or not isinstance(frames, int | np.integer) or not 1 <= frames <= MAX_VIDEO_FRAMES:
        raise InputError(
            f"{frames!r} frames were asked for, not a whole number from 1 to {MAX_VIDEO_FRAMES:,}; correct it"
        )
    if isinstance(source, Mapping) and "frames" in source:
        _check_fps(source.get("fps"), name)
        source = source["frames"]
    if isinstance(source, list | tuple) and source and isinstance(source[0], np.ndarray):
        with decoding(name):
            source = np.stack(source)
    if isinstance(source, list | tuple):
        return _from_images(source, frames, name)
    if isinstance(source, str | bytes | bytearray | memoryview) or hasattr(source, "__fspath__"):
        if not isinstance(source, bytes | bytearray | memoryview) and Path(source).is_dir():
            return _from_images(_folder(Path(source), name), frames, name)
        with opened(source, KINDS) as file, decoding(name):
            return _from_file(file, frames, name)
    return _from_array(source, frames, name)


def _check_fps(fps: Any, name: str) -> None:
    if fps is not None and not (isinstance(fps, int | float | np.number) and 0 < float(fps) < float("inf")):
        raise InputError(f"{name} has {fps!r} frames per second; give a positive number")


def _from_file(file: BinaryIO, frames: int, name: str) -> NDArray[np.uint8]:
    head = head_of(file, 12)
    if head[:4] == b"GIF8":
        return _from_gif(file, frames, name)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        return from_container(file, "mp4", frames, name)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return from_container(file, "webm", frames, name)
    raise InputError(f"{name} is not a clip that can be read; give a {KINDS} file or a folder of images")


def _from_array(values: Any, frames: int, name: str) -> NDArray[np.uint8]:
    with decoding(name):
        array = np.asarray(values)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
        raise InputError(
            f"{name} is an array of {array.dtype} with the shape {array.shape}; give uint8 (frames, height, width, 3)"
        )
    if array.shape[0] < 1:
        raise InputError(f"{name} has no frames; give a clip of at least one")
    check_result(frames, array.shape[1], array.shape[2], name)
    return np.ascontiguousarray(array[sampled(array.shape[0], frames)])


def _folder(folder: Path, name: str) -> list[Path]:
    """The images of a folder in their order: frame 10 comes after frame 9."""
    known = {ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS}
    files = [path for path in folder.iterdir() if path.suffix.lower() in known and not path.name.startswith(".")]
    if not files:
        raise InputError(f"{name} holds no images; give a folder of PNG or JPEG files, one for each frame")
    return sorted(files, key=lambda path: _natural(path.name))


def _natural(text: str) -> list[tuple[int, str]]:
    parts = "".join(c if c.isdecimal() and c.isascii() else f"\0{c}\0" for c in text).split("\0")
    return [(int(part), "") if part.isdecimal() and part.isascii() else (-1, part) for part in parts if part]


def _from_images(images: Sequence[Any], frames: int, name: str) -> NDArray[np.uint8]:
    """Only the frames that are taken are opened; all must be of one size."""
    if not images:
        raise InputError(f"{name} has no frames; give a clip of at least one")
    result: NDArray[np.uint8] | None = None
    previous, picture = -1, None
    for place, at in enumerate(sampled(len(images), frames)):
        if at != previous:
            previous, picture = at, np.asarray(load_image(images[at]))
        assert picture is not None
        if result is None:
            check_result(frames, picture.shape[0], picture.shape[1], name)
            result = np.empty((frames, *picture.shape), np.uint8)
        if picture.shape != result.shape[1:]:
            sizes = " and ".join(f"{shape[1]} x {shape[0]}" for shape in (result.shape[1:], picture.shape))
            raise InputError(f"{name} has frames of different sizes ({sizes} pixels); scale them to one")
        result[place] = picture
    assert result is not None
    return result


def _gif_count(clip: Image.Image, name: str) -> int:
    """Frames of a GIF, which has no header that says it; counted no further than the limit."""
    count, (width, height) = 1, clip.size
    while True:
        try:
            clip.seek(count)
        except EOFError:
            return count
        count += 1
        check_work(count, height, width, name)


def _from_gif(file: BinaryIO, frames: int, name: str) -> NDArray[np.uint8]:
    with warnings.catch_warnings(), Image.open(file, formats=("GIF",)) as clip:
        warnings.simplefilter("ignore")
        width, height = clip.size
        check_result(frames, height, width, name)
        count = _gif_count(clip, name)
        check_work(count, height, width, name)
        result = np.empty((frames, height, width, 3), np.uint8)
        for place, at in enumerate(sampled(count, frames)):
            clip.seek(at)
            if clip.size != (width, height):
                raise InputError(f"{name} changes its size at frame {at}; save it anew")
            result[place] = np.asarray(as_rgb(clip.copy(), name))
    return result
