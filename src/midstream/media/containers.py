"""MP4 and WebM through PyAV: packets counted, frames decoded one after the other, the wanted ones kept."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.media.completeness import mp4_is_cut, webm_is_cut
from midstream.media.limits import MAX_VIDEO_FRAMES, MAX_VIDEO_PIXELS, MAX_VIDEO_SECONDS
from midstream.media.sampling import check_result, check_work, sampled
from midstream.media.sources import missing

CODECS = frozenset({"h264", "hevc", "mpeg4", "mjpeg", "vp8", "vp9", "av1"})
"""What is decoded. libav knows hundreds more, hardly any of which meets a fuzzer as often as these do."""

STRICT = {"max_pixels": str(MAX_VIDEO_PIXELS), "err_detect": "crccheck+bitstream+buffer+explode"}
"""Refuse oversized frames before their memory is taken, and damage rather than paint over it."""


def from_container(file: BinaryIO, kind: str, frames: int, name: str) -> NDArray[np.uint8]:
    """Evenly taken frames of an open MP4 ("mp4") or WebM ("webm") file, as `midstream.media.load_video` describes.

    The packets are counted first, without decoding. Where the decoder then gives another number of frames (hidden ones
    of VP8), the clip is decoded once more with the right number.

    Raises:
        InputError: no video, cut off, damaged, beyond a limit, another codec than `CODECS`, or no PyAV.
        Exception: what PyAV raises on a damaged file.
    """
    try:
        import av
    except ImportError:
        raise missing("PyAV", "video", name) from None
    if (mp4_is_cut if kind == "mp4" else webm_is_cut)(file):
        raise InputError(f"{name} is cut off: its header promises more than there is; copy it again")
    count = 0
    with _clip(av, file, kind) as clip:
        stream = _stream(clip, name)
        height, width = stream.codec_context.height, stream.codec_context.width
        check_result(frames, height, width, name)
        _check_duration(clip, stream, name)
        for packet in clip.demux(stream):
            if packet.is_corrupt:
                raise InputError(f"{name} is damaged or cut off at packet {count}; copy it again")
            count += packet.size > 0
            if packet.pts is not None:
                _check_seconds(float(packet.pts * packet.time_base), name)
            check_work(max(1, count), height, width, name)
    check_work(count, height, width, name)
    result, decoded = _decoded(av, file, kind, count, frames, name)
    if decoded != count:
        result, _ = _decoded(av, file, kind, decoded, frames, name)
    return result


def _clip(av: Any, file: BinaryIO, kind: str) -> Any:
    """The opened container. Its format is named: probing would try hundreds, some of which open other files."""
    file.seek(0)
    return av.open(file, format="mov" if kind == "mp4" else "matroska", metadata_errors="replace")


def _stream(clip: Any, name: str) -> Any:
    stream = clip.streams.best("video")
    if stream is None:
        raise InputError(f"{name} has no video in it; give a clip with pictures")
    codec = stream.codec_context.codec.canonical_name
    if codec not in CODECS:
        raise InputError(f"{name} is coded as {codec}, not as {', '.join(sorted(CODECS))}; convert it")
    stream.codec_context.thread_count = 1
    stream.codec_context.options = STRICT
    return stream


def _check_seconds(seconds: float, name: str) -> None:
    if seconds > MAX_VIDEO_SECONDS:
        raise InputError(f"{name} lasts {seconds:,.0f} seconds, more than the {MAX_VIDEO_SECONDS:,} decoded; cut it")


def _check_duration(clip: Any, stream: Any, name: str) -> None:
    _check_seconds((clip.duration or 0) / 1_000_000, name)
    if stream.frames > MAX_VIDEO_FRAMES:
        raise InputError(f"{name} has {stream.frames:,} frames, more than the {MAX_VIDEO_FRAMES:,} decoded; cut it")


def _decoded(av: Any, file: BinaryIO, kind: str, count: int, frames: int, name: str) -> tuple[NDArray[np.uint8], int]:
    """The wanted frames if there are `count`, and how many there are."""
    wanted, place, number = sampled(count, frames), 0, 0
    result: NDArray[np.uint8] | None = None
    with _clip(av, file, kind) as clip:
        for number, frame in enumerate(_frames(clip, name), 1):
            if result is None:
                height, width = _upright(frame, frame.height, frame.width)
                check_result(frames, height, width, name)
                result = np.empty((frames, height, width, 3), np.uint8)
            check_work(number, frame.height, frame.width, name)
            if place < frames and wanted[place] < number:
                picture = _picture(frame, result.shape[1:3])
                while place < frames and wanted[place] < number:
                    result[place] = picture
                    place += 1
    if result is None:
        raise InputError(f"{name} has no frames; give a clip of at least one")
    return result, number


def _frames(clip: Any, name: str) -> Iterator[Any]:
    for frame in clip.decode(_stream(clip, name)):
        if frame.is_corrupt:
            raise InputError(f"{name} has a damaged frame at {frame.time} seconds; copy it again")
        yield frame


def _turns(frame: Any) -> int:
    """Quarter turns, counter-clockwise, that put a frame upright."""
    return round((frame.rotation or 0) / 90) % 4


def _upright(frame: Any, height: int, width: int) -> tuple[int, int]:
    return (width, height) if _turns(frame) % 2 else (height, width)


def _picture(frame: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """One frame as RGB, upright; where the size changes within a clip, scaled to the first one's."""
    height, width = _upright(frame, *shape)
    return np.rot90(frame.to_ndarray(format="rgb24", height=height, width=width), _turns(frame))
