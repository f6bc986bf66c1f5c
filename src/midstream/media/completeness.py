"""Was a file cut off? Decoders read what is there and say nothing; the containers tell how long they should be.

WAV, MP4 and WebM carry the length of their parts. OGG and MP3 are streams: see `midstream.media.streams`.
"""

from typing import BinaryIO

from midstream.media.sources import size_of

UNKNOWN_32 = (0, 0xFFFFFFFF)
"""What programs that write to a pipe put for a length that they cannot know."""


def wav_is_cut(file: BinaryIO) -> bool:
    """Whether the sample data of a RIFF, RIFX or RF64 file reach beyond its end."""
    total = size_of(file)
    file.seek(0)
    order = "big" if file.read(4) == b"RIFX" else "little"
    place = 12
    while place + 8 <= total:
        file.seek(place)
        kind, size = file.read(4), int.from_bytes(file.read(4), order)  # type: ignore[arg-type]
        if kind == b"data":
            return size not in UNKNOWN_32 and place + 8 + size > total
        place += 8 + size + size % 2
    return True


def mp4_is_cut(file: BinaryIO) -> bool:
    """Whether a top-level box of an ISO media file reaches beyond its end (ISO/IEC 14496-12, section 4.2)."""
    total, place = size_of(file), 0
    while place + 8 <= total:
        file.seek(place)
        size, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
        if size == 0 and kind:  # the last box: to the end, wherever that is
            return False
        if size < 8:
            return True
        place += size
    return place != total


def webm_is_cut(file: BinaryIO) -> bool:
    """Whether the segment of a Matroska file reaches beyond its end (RFC 8794, section 4)."""
    total = size_of(file)
    file.seek(4)
    header = _vint(file)
    file.seek(file.tell() + (header or 0))
    if file.read(4) != b"\x18\x53\x80\x67":
        return True
    size = _vint(file)
    return size is not None and file.tell() + size > total


def _vint(file: BinaryIO) -> int | None:
    """A variable-length integer; None where the length is marked as unknown."""
    first = file.read(1)[0]
    width = 9 - first.bit_length()
    value = int.from_bytes(bytes([first & (0xFF >> width) if width < 8 else 0]) + file.read(width - 1), "big")
    return None if value == (1 << 7 * width) - 1 else value
