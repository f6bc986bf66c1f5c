"""What can happen to a file: flipped bits, cuts, splices, repeated and zeroed blocks, edited fields.

Where a format guards its parts with checksums (PNG, OGG), half of the damaged files get correct ones again: otherwise
nearly all damage would be noticed at the door.
"""

import random
import struct
import zlib
from collections.abc import Callable

from midstream.media.streams import page_sum

FIELDS = (0, 1, 2, 3, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
WORDS = (
    b"nan inf -inf 1e999 -0 1e38 1e-320 , ; \t \n \r \0 \" ' [ ] { } null true [[ ]] () # % = _ 1_0 0x1F "
    b"99999999999999999999 \xff \xef\xbb\xbf \xe2\x88\x92 1,5 NaN Infinity : // \\ C c1 [13C] @ +"
).split(b" ")


def _flip(rng: random.Random, data: bytearray, other: bytes) -> None:
    for _ in range(rng.choice((1, 1, 2, 8))):
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _overwrite(rng: random.Random, data: bytearray, other: bytes) -> None:
    for _ in range(rng.choice((1, 4))):
        data[_place(rng, data)] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))


def _edit(rng: random.Random, data: bytearray, other: bytes) -> None:
    """A field of 2, 4 or 8 bytes, in either order; a float that is no number now and then."""
    size = rng.choice((2, 4, 4, 8))
    at = min(_place(rng, data), max(0, len(data) - size))
    field = (rng.choice(FIELDS) % 256**size).to_bytes(size, rng.choice(("little", "big")))
    if rng.random() < 0.1:
        size, field = 4, struct.pack("<f", rng.choice((float("nan"), float("inf"), 1e38, 1e-40)))
    data[at : at + size] = field


def _cut(rng: random.Random, data: bytearray, other: bytes) -> None:
    del data[rng.randrange(len(data)) :]


def _drop(rng: random.Random, data: bytearray, other: bytes) -> None:
    start, end = _block(rng, data)
    del data[start:end]


def _zero(rng: random.Random, data: bytearray, other: bytes) -> None:
    start, end = _block(rng, data)
    data[start:end] = bytes(end - start)


def _repeat(rng: random.Random, data: bytearray, other: bytes) -> None:
    start, end = _block(rng, data)
    data[end:end] = data[start:end] * rng.choice((1, 1, 2, 20))


def _splice(rng: random.Random, data: bytearray, other: bytes) -> None:
    start, end = _block(rng, other)
    at = rng.randrange(len(data) + 1)
    data[at : at + rng.choice((0, end - start))] = other[start:end]


def _insert(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = rng.randrange(len(data) + 1)
    data[at : at + rng.choice((0, 1, 6))] = rng.choice(WORDS)


CHANGES: tuple[Callable[[random.Random, bytearray, bytes], None], ...] = (
    _flip, _flip, _overwrite, _edit, _edit, _edit, _cut, _drop, _zero, _repeat, _splice, _insert,
)  # fmt: skip


def _place(rng: random.Random, data: bytearray) -> int:
    """Half of the time within the first 128 bytes, where headers are."""
    return rng.randrange(min(len(data), 128) if rng.random() < 0.5 else len(data))


def _block(rng: random.Random, data: bytes | bytearray) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.choice((1, 4, 16, 64, 256)))


def damaged(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A copy of `data` with one to three changes; splices come from `other`. May be empty."""
    result = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        if result:
            rng.choice(CHANGES)(rng, result, other)
    repair = {b"\x89P": _png_sums, b"Og": _ogg_sums}.get(bytes(result[:2]))
    return repair(bytes(result)) if repair and rng.random() < 0.5 else bytes(result)


def _png_sums(data: bytes) -> bytes:
    """Every chunk with the CRC that its content has."""
    result, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        result += data[at:end] + zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(result + data[at:])


def _ogg_sums(data: bytes) -> bytes:
    """Every page with the CRC that its content has (RFC 3533, section 6)."""
    result, at = bytearray(data), data.find(b"OggS")
    while at >= 0 and at + 27 <= len(result):
        body = at + 27 + result[at + 26]
        end = min(len(result), body + sum(result[at + 27 : body]))
        result[at + 22 : at + 26] = bytes(4)
        result[at + 22 : at + 26] = page_sum(bytes(result[at:end]))
        at = result.find(b"OggS", max(end, at + 4))
    return bytes(result)
