"""Clips, whole and broken: the right frames in the right order, or one sentence."""

import io
import struct
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fuzz_files import clip, encoded, picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from midstream.errors import InputError
from midstream.media import load_video
from midstream.media.sampling import sampled

COUNT, SIDE = 9, 16
SHADES = np.linspace(20, 235, COUNT).astype(int)


def flat_gif() -> bytes:
    frames = [Image.new("L", (SIDE, SIDE), int(shade)) for shade in SHADES]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)


FILES = {
    "mp4": lambda: clip("mp4", "libx264", frames=COUNT),
    "mp4_part4": lambda: clip("mp4", "mpeg4", frames=COUNT),
    "mp4_fragments": lambda: clip("mp4", "libx264", frames=COUNT, movflags="frag_keyframe+empty_moov"),
    "mov": lambda: clip("mov", "mjpeg", "yuvj420p", frames=COUNT),
    "hevc": lambda: clip("mp4", "libx265", frames=COUNT),
    "av1": lambda: clip("mp4", "libsvtav1", side=64, frames=COUNT),
    "webm_vp8": lambda: clip("webm", "libvpx", frames=COUNT),
    "webm_vp9": lambda: clip("webm", "libvpx-vp9", frames=COUNT),
    "mkv": lambda: clip("matroska", "libx264", frames=COUNT),
    "gif": flat_gif,
}


def refused(source: Any, match: str, frames: int = 4) -> None:
    with pytest.raises(InputError, match=match) as caught:
        load_video(source, frames)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("frames", [1, 3, COUNT, 20])
@pytest.mark.parametrize("kind", FILES)
def test_evenly_taken_frames_of_every_kind(kind: str, frames: int, tmp_path: Path) -> None:
    """Each frame is one shade, so the shade tells which frame was taken; an ending that lies changes nothing."""
    data = FILES[kind]()
    (tmp_path / "clip.txt").write_bytes(data)
    found = load_video(tmp_path / "clip.txt", frames)
    side = 64 if kind == "av1" else SIDE
    assert found.dtype == np.uint8 and found.shape == (frames, side, side, 3)
    expected = SHADES[sampled(COUNT, frames)]
    assert np.abs(found.mean(axis=(1, 2, 3)) - expected).max() < 5
    assert np.array_equal(load_video(data, frames), found), "the same file gives the same frames"
    assert np.abs(found.mean(axis=(1, 2, 3)) - SHADES[:frames][: len(expected)].mean()).max() > 5 or frames == COUNT


@given(st.integers(1, 500), st.integers(1, 500))
def test_each_frame_is_the_middle_of_an_equal_part(count: int, frames: int) -> None:
    taken = sampled(count, frames)
    assert len(taken) == frames and taken == sorted(taken) and all(0 <= at < count for at in taken)
    for at, place in enumerate(taken):
        middle = (at + 0.5) * count / frames
        assert place <= middle < place + 1
    if frames >= count:
        assert set(taken) == set(range(count))
    assert taken != [count] * frames, "the control"


def pixels() -> np.ndarray:
    return np.stack([np.asarray(picture(shade)) for shade in range(5)])


def test_arrays_folders_and_lists(tmp_path: Path) -> None:
    """Numbered files are in the order of their numbers: 10 after 9."""
    given, numbers = pixels(), (1, 2, 9, 10, 100)
    expected = given[[0, 2, 4]]
    for number, frame in zip(numbers, given, strict=True):
        (tmp_path / f"frame{number}.png").write_bytes(encoded(Image.fromarray(frame), "PNG"))
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / ".hidden.png").write_text("not a frame")
    sources = (
        given,
        {"frames": given, "fps": 12.5},
        {"frames": list(given)},
        tmp_path,
        str(tmp_path),
        [Image.fromarray(f) for f in given],
    )
    for source in sources:
        assert np.array_equal(load_video(source, 3), expected)
    (tmp_path / "frame50.png").write_bytes(encoded(Image.new("RGB", (3, 3)), "PNG"))
    refused(tmp_path, "different sizes", 6)


@pytest.mark.parametrize(
    ("quarters", "matrix"), [(0, (1, 0, 0, 1)), (1, (0, -1, 1, 0)), (2, (-1, 0, 0, -1)), (3, (0, 1, -1, 0))]
)
def test_a_phone_that_was_held_upright(quarters: int, matrix: tuple[int, int, int, int]) -> None:
    """The matrix of the track header (ISO/IEC 14496-12, section 8.3.2) says how frames are to be turned."""
    stored = np.zeros((1, 32, 48, 3), np.uint8)
    stored[0, :, :24] = 200
    stored[0, :16] //= 2
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10, width=48, height=32, pix_fmt="yuv444p")
        container.mux(stream.encode(av.VideoFrame.from_ndarray(stored[0], format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(file.getvalue())
    at = data.index(b"tkhd") + 4 + 40
    assert struct.unpack_from(">9i", data, at) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    a, b, c, d = (65536 * value for value in matrix)
    struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    found = load_video(bytes(data), 1)[0].astype(int)
    expected = np.rot90(stored[0], quarters).astype(int)
    assert found.shape == expected.shape and np.abs(found - expected).mean() < 6
    assert np.abs(found - expected[::-1]).mean() > 20, "the control: upside down is another"


@pytest.mark.parametrize("kind", FILES)
def test_a_truncated_clip_is_refused_or_a_beginning(kind: str) -> None:
    data, refusals = FILES[kind](), 0
    for part in range(20):
        try:
            found = load_video(data[: len(data) * part // 20], COUNT)
        except InputError as error:
            assert len(str(error).splitlines()) == 1
            refusals += 1
        else:
            shades = found.mean(axis=(1, 2, 3))
            assert all(np.abs(SHADES - shade).min() < 5 for shade in shades), "half a frame never passes for a frame"
    assert refusals == 20 or kind in ("gif", "mp4_fragments")


def test_no_pictures_no_frames_and_other_codecs() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    refused(file.getvalue(), "no video")
    refused(clip("mp4", "mpeg2video"), "coded as mpeg2video")
    refused(np.zeros((0, 4, 4, 3), np.uint8), "no frames")
    refused([], "no frames")


@pytest.mark.parametrize(
    ("limit", "value", "match"),
    [
        ("sampling.MAX_VIDEO_FRAMES", 8, "8 that are decoded|8 decoded"),
        ("sampling.MAX_VIDEO_WORK", SIDE * SIDE * 8, "pixels in its"),
        ("sampling.MAX_VIDEO_PIXELS", SIDE * SIDE - 1, "frames of 16 x 16 pixels, not 1 to 255"),
        ("sampling.MAX_VIDEO_BYTES", 4 * SIDE * SIDE * 3 - 1, "are 3,072 bytes, more than 3,071"),
    ],
)
@pytest.mark.parametrize("kind", ["mp4", "webm_vp9", "gif"])
def test_limits(kind: str, limit: str, value: int, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = FILES[kind]()
    load_video(data, 4)  # the control: without the limit it is read
    monkeypatch.setattr(f"midstream.media.{limit}", value)
    refused(data, match)


def test_ten_hours_are_refused_by_the_header() -> None:
    data = bytearray(FILES["mp4"]())
    scale = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0]
    at = data.index(b"stts") + 12  # after the version and the number of runs: frames of the first run, ticks of each
    assert struct.unpack_from(">II", data, at) == (COUNT, scale // 10)
    struct.pack_into(">I", data, at + 4, 4_000 * scale)
    refused(bytes(data), "seconds, more than the 3,600")


def test_a_header_that_promises_a_huge_frame() -> None:
    """The size of the sample description, and that of VP8's first frame."""
    data = bytearray(FILES["mp4_part4"]())
    at = data.index(b"mp4v") + 4 + 24
    assert struct.unpack_from(">HH", data, at) == (SIDE, SIDE)
    webm = bytearray(FILES["webm_vp8"]())
    start = webm.index(b"\x9d\x01\x2a") + 3
    assert struct.unpack_from("<HH", webm, start) == (SIDE, SIDE)
    struct.pack_into("<HH", webm, start, 16383, 16383)
    refused(bytes(webm), ";")


@pytest.mark.parametrize("frames", [0, -1, 1.5, None, True, 10**9, "8"])
def test_numbers_of_frames_that_are_none(frames: Any) -> None:
    refused(pixels(), "frames were asked for", frames)


@pytest.mark.parametrize(
    "source",
    [None, 3, b"", b"GIF89a", b"hello there, world", bytes(400), "no.mp4", b"\x1a\x45\xdf\xa3", b"\0\0\0\x18ftypisom",
     {"frames": None}, np.zeros((3, 4, 4, 3)), np.zeros((3, 4, 4), np.uint8), np.zeros((3, 4, 4, 4), np.uint8),
     {"frames": pixels(), "fps": 0}, [np.zeros(3), np.zeros(4)]],
    ids=lambda source: str(source)[:20],
)  # fmt: skip
def test_what_is_no_clip_is_refused(source: Any) -> None:
    refused(source, ";")


def test_folders_without_pictures(tmp_path: Path) -> None:
    refused(tmp_path, "holds no images")
    (tmp_path / "a.png").write_bytes(b"no picture")
    refused(tmp_path, r"a\.png is not an image")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data, gif = FILES["mp4"](), flat_gif()
    monkeypatch.setitem(sys.modules, "av", None)
    refused(data, r"PyAV, which is not installed; run: pip install 'midstream\[video\]'")
    assert len(load_video(gif, 2)) == 2, "GIF needs no PyAV"


@pytest.mark.parametrize("kind", FILES)
def test_decoders_keep_quiet(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    data, read = FILES[kind](), 0
    capfd.readouterr()
    for place in range(0, len(data), max(1, len(data) // 60)):
        damaged = bytearray(data)
        damaged[place : place + 3] = b"\xff\x00\x7f"
        try:
            load_video(bytes(damaged), 3)
        except InputError:
            read += 1
    assert read and capfd.readouterr().err == ""
