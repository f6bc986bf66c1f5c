"""OGG pages and MP3 frames, walked without decoding them: is every part there, and how much is it?

libsndfile drops an OGG page whose checksum is wrong without a word, and guesses the length of an MP3 file of varying
bit rate that does not state it, to stop there. Both would be wrong decodes.
"""

import zlib
from typing import BinaryIO

from midstream.media.sources import size_of

LONGEST_FRAME = 1441
"""Bytes of an MP3 frame; writers disagree on whether the frame that holds the length is counted."""

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

_KBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates of layer III, of MPEG-1 and of MPEG-2 and 2.5 (ISO/IEC 11172-3, 2.4.2.3; 13818-3, 2.4.2.3)."""

_HERTZ = (44_100, 48_000, 32_000)


def ogg_is_broken(file: BinaryIO) -> bool:
    """Whether a page of an OGG file is cut off or differs from its checksum (RFC 3533, section 6)."""
    total, place = size_of(file), 0
    while place < total:
        file.seek(place)
        head = file.read(27)
        if len(head) < 27 or head[:4] != b"OggS":
            return True
        lengths = file.read(head[26])
        body = file.read(sum(lengths))
        size = 27 + head[26] + sum(lengths)
        if place + size > total or page_sum(head[:22] + bytes(4) + head[26:] + lengths + body) != head[22:26]:
            return True
        place += size
    return False


def page_sum(page: bytes) -> bytes:
    """The checksum of an OGG page whose own checksum field is zero: 4 bytes.

    It is zlib's polynomial with bits in the other order, and neither inverted before nor after.
    """
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return bytes(_MIRRORED[byte] for byte in mirrored.to_bytes(4, "big"))


def mp3_is_cut(file: BinaryIO) -> bool:
    """Whether an MP3 file is shorter than its first frame says (the Xing or Info tag), if it says it."""
    start, tag = _tag(file)
    if len(tag) < 16 or not tag[7] & 2:
        return False
    place = 8 + 4 * (tag[7] & 1)
    return int.from_bytes(tag[place : place + 4], "big") > size_of(file) - start + LONGEST_FRAME


def mp3_samples(file: BinaryIO) -> int | None:
    """Samples of one channel in an MP3 file that does not state its length; None if it does or cannot be walked."""
    place, tag = _tag(file)
    if tag:
        return None
    total, samples = size_of(file), 0
    while place + 4 <= total:
        file.seek(place)
        head = int.from_bytes(file.read(4), "big")
        if head >> 8 == 0x544147:  # "TAG": 128 bytes of title and artist at the end
            break
        version, layer, rate, hertz, padding = (
            head >> 19 & 3,
            head >> 17 & 3,
            head >> 12 & 15,
            head >> 10 & 3,
            head >> 9 & 1,
        )
        if head >> 21 != 0x7FF or version == 1 or layer != 1 or rate in (0, 15) or hertz == 3:
            return None
        first = version == 3
        frequency = _HERTZ[hertz] >> {3: 0, 2: 1, 0: 2}[version]
        place += (144_000 if first else 72_000) * _KBITS[first][rate] // frequency + padding
        samples += 1152 if first else 576
    return samples


def _tag(file: BinaryIO) -> tuple[int, bytes]:
    """Where the first frame begins, and what follows from its length tag on (empty without one)."""
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    file.seek(start)
    frame = file.read(256)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    return start, frame[at:] if at >= 0 else b""
