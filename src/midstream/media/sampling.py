"""Which frames of a clip are taken, and whether a clip may be decoded at all. Knows no format."""

from midstream.errors import InputError
from midstream.media.limits import MAX_VIDEO_BYTES, MAX_VIDEO_FRAMES, MAX_VIDEO_PIXELS, MAX_VIDEO_WORK


def sampled(count: int, frames: int) -> list[int]:
    """Which of `count` frames are taken: the middle of each of `frames` equal parts, ascending, repeated where few."""
    return [(2 * at + 1) * count // (2 * frames) for at in range(frames)]


def check_result(frames: int, height: int, width: int, name: str) -> None:
    """Refuse a result before its memory is taken.

    Raises:
        InputError: a frame of no or more than `MAX_VIDEO_PIXELS` pixels, or more than `MAX_VIDEO_BYTES` together.
    """
    if not 0 < height * width <= MAX_VIDEO_PIXELS:
        raise InputError(
            f"{name} has frames of {width} x {height} pixels, not 1 to {MAX_VIDEO_PIXELS:,}; scale it down"
        )
    if (size := frames * height * width * 3) > MAX_VIDEO_BYTES:
        raise InputError(
            f"{frames} frames of {width} x {height} pixels of {name} are {size:,} bytes, more than {MAX_VIDEO_BYTES:,}"
            f"; take fewer or scale it down"
        )


def check_work(count: int, height: int, width: int, name: str) -> None:
    """Refuse a clip before it is decoded.

    Raises:
        InputError: no frames, more than `MAX_VIDEO_FRAMES`, or more than `MAX_VIDEO_WORK` pixels in all of them.
    """
    if count < 1:
        raise InputError(f"{name} has no frames; give a clip of at least one")
    if count > MAX_VIDEO_FRAMES:
        raise InputError(f"{name} has {count:,} frames, more than the {MAX_VIDEO_FRAMES:,} that are decoded; cut it")
    if (work := count * height * width) > MAX_VIDEO_WORK:
        raise InputError(
            f"{name} has {work:,} pixels in its {count:,} frames, more than the {MAX_VIDEO_WORK:,} that are decoded; "
            f"cut it or scale it down"
        )
