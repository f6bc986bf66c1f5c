"""Small files that promise or unpack to enormous ones: refused within a stated memory and time.

All are loaded in one process of their own, whose peak is measured; a careless loader beside them shows that it would be
seen.
"""

import io
import json
import struct
import subprocess
import sys
import zlib
from functools import cache

import numpy as np
import pytest
import soundfile
from fuzz_files import clip, encoded
from PIL import Image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read where Linux keeps it")

MIB = 1024 * 1024
ALLOWED_MIB = 120
"""What refusing any of these may take beyond the libraries themselves."""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(3 * width * height + height) if width * height < 1000 else b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + data + chunk(b"IEND", b"")


@cache
def packed(megabytes: int) -> bytes:
    """Zeros, a thousandth as large."""
    squeezer = zlib.compressobj(1)
    return b"".join(squeezer.compress(bytes(MIB)) for _ in range(megabytes)) + squeezer.flush()


def jpeg_of_many_scans() -> bytes:
    """The last scan of a progressive JPEG, which only refines, over and over."""
    data = encoded(Image.linear_gradient("L").resize((64, 64)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * 20_000 + data[-2:]


def long_flac() -> bytes:
    """An hour and a half of silence in a few hundred kilobytes, whose header does not say how long it is."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros((5400 * 1000, 1), np.int16), 1000, format="FLAC")
    data = bytearray(file.getvalue())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


def npy_header(shape: str) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (117 - len(header)) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def wide_gif() -> bytes:
    data = bytearray(encoded(Image.new("L", (8, 8)), "GIF", save_all=True, append_images=[Image.new("L", (8, 8), 9)]))
    data[6:10] = struct.pack("<HH", 65535, 65535)
    return bytes(data)


def wide_tiff() -> bytes:
    data = encoded(Image.new("L", (8, 8)), "TIFF")
    for tag in (0x100, 0x101):  # width and height, as two or four bytes
        for kind in (3, 4):
            field = struct.pack("<HHI", tag, kind, 1)
            data = data.replace(field + struct.pack("<I", 8), field + struct.pack("<I", 65535))
    return data


def tall_vp8() -> bytes:
    data = bytearray(clip("webm", "libvpx"))
    at = data.index(b"\x9d\x01\x2a") + 3
    struct.pack_into("<HH", data, at, 16383, 16383)
    return bytes(data)


def zipped() -> bytes:
    inside, plain = io.BytesIO(), io.BytesIO()
    np.savez(inside, series=np.zeros(4))
    np.save(plain, np.zeros(4))
    size = struct.pack("<I", len(plain.getvalue()))
    return inside.getvalue().replace(size, struct.pack("<I", 2**31 - 1))


BOMBS = {
    "image 100000 x 100000": ("image", lambda: png(100_000, 100_000)),
    "image 100000 x 1": ("image", lambda: png(100_000, 1)),
    "image 1 x 2147483647": ("image", lambda: png(1, 2**31 - 1)),
    "image text": ("image", lambda: png(4, 4, chunk(b"zTXt", b"Comment\0\0" + packed(200)))),
    "image international text": ("image", lambda: png(4, 4, chunk(b"iTXt", b"a\0\1\0\0\0" + packed(200)))),
    "image texts": ("image", lambda: png(4, 4, *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(MIB - 1)))] * 200)),
    "image profile": ("image", lambda: png(4, 4, chunk(b"iCCP", b"sRGB\0\0" + packed(200)))),
    "image scans": ("image", jpeg_of_many_scans),
    "image gif": ("image", wide_gif),
    "image tiff": ("image", wide_tiff),
    "video gif": ("video", wide_gif),
    "video vp8": ("video", tall_vp8),
    "audio long": ("audio", long_flac),
    "series shape": ("series", lambda: npy_header("(1000000000, 1000)")),
    "series endless": ("series", lambda: npy_header("(99999999999999999999, 99999999999999999)")),
    "series zip": ("series", zipped),
    "series deep": ("series", lambda: b"[" * 1_000_000),
    "series number": ("series", lambda: b"[" + b"9" * 1_000_000 + b"]"),
    "series row": ("series", lambda: b"1," * 5_000_000),
    "series cell": ("series", lambda: b'"' + b"1" * 5_000_000 + b'"'),
}  # fmt: skip

LOADER = """
import json, sys, time
from pathlib import Path
from midstream import media
from midstream.errors import InputError
import av, soundfile, soxr, zipfile
media.load_audio({"array": [0.0] * 8, "sampling_rate": 8000}, 16000)
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
load = {"image": media.load_image, "audio": lambda path: media.load_audio(path, 8000), "series": media.load_series,
        "video": lambda path: media.load_video(path, 4), "careless": lambda path: b"1" * int(path.read_text())}
before = peak()
for line in sys.stdin:
    kind, path = line.split()
    start = time.process_time()
    try:
        load[kind](Path(path))
        said = "loaded"
    except InputError as error:
        said = str(error)
    print(json.dumps([said, time.process_time() - start, peak() - before]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    folder, lines = tmp_path_factory.mktemp("bombs"), []
    for number, (kind, write) in enumerate(BOMBS.values()):
        data = write()
        assert len(data) < 11 * MIB, "a bomb, not a large file"
        (folder / str(number)).write_bytes(data)
        lines.append(f"{kind} {folder / str(number)}")
    (folder / "careless").write_text(str(2 * ALLOWED_MIB * MIB))
    lines.append(f"careless {folder / 'careless'}")
    done = subprocess.run(
        [sys.executable, "-c", LOADER], input="\n".join(lines), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return dict(zip([*BOMBS, "careless"], map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("what", BOMBS)
def test_a_bomb_is_refused_in_one_sentence_within_its_bounds(what: str, outcomes: dict[str, list[object]]) -> None:
    said, seconds, mebibytes = outcomes[what]
    assert isinstance(said, str) and said != "loaded" and len(said.splitlines()) == 1
    assert seconds < 3 and mebibytes < ALLOWED_MIB


def test_the_control_a_careless_loader_is_seen(outcomes: dict[str, list[object]]) -> None:
    said, _, mebibytes = outcomes["careless"]
    assert said == "loaded" and mebibytes > ALLOWED_MIB
