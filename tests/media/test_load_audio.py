"""Recordings, whole and broken: the right samples at the right rate, or one sentence."""

import contextlib
import io
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fuzz_files import RATE, SAMPLES, recording, tone

from midstream.errors import InputError
from midstream.media import MAX_AUDIO_SECONDS, load_audio

MONO = tone()[:, 0]
TOLERANCE = {"WAV": 1e-4, "FLAC": 1e-4, "OGG": 0.06, "MP3": 0.06}
RATES = (7, 1000, 8000, 11025, 16000, 22050, 44100, 48000, 96000, 768000)


def refused(source: Any, match: str, rate: int = RATE) -> None:
    with pytest.raises(InputError, match=match) as caught:
        load_audio(source, rate)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", TOLERANCE)
def test_files_bytes_and_mappings_are_the_same(kind: str, tmp_path: Path) -> None:
    """The content decides: an ending that lies (`.raw` would make libsndfile ask for a format) changes nothing."""
    data = recording(kind)
    for ending in (kind.lower(), "raw", "txt"):
        (tmp_path / f"sound.{ending}").write_bytes(data)
        found = load_audio(tmp_path / f"sound.{ending}", RATE)
        assert found.dtype == np.float32 and found.shape == (SAMPLES,)
        assert np.abs(found - MONO).max() < TOLERANCE[kind]
    for source in (data, bytearray(data), {"bytes": data, "path": None}, {"path": str(tmp_path / "sound.raw")}):
        assert np.array_equal(load_audio(source, RATE), found)
    assert np.abs(found + MONO).max() > 0.5, "the control: upside down it is another"


@pytest.mark.parametrize("kind", TOLERANCE)
def test_channels_are_averaged(kind: str) -> None:
    found = load_audio(recording(kind, channels=2), RATE)
    assert np.abs(found - tone(2).mean(axis=1)).max() < TOLERANCE[kind]
    assert np.abs(found - MONO).max() > 0.2, "the control: it is not the first channel"


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
def test_every_kind_of_sample_has_full_scale_one(subtype: str, endian: str) -> None:
    assert np.abs(load_audio(recording("WAV", subtype, endian=endian), RATE) - MONO).max() < 0.02


def test_arrays_are_scaled_like_files() -> None:
    def heard(array: Any) -> np.ndarray:
        return load_audio({"array": array, "sampling_rate": RATE}, RATE)

    exact = MONO.astype(np.float32)
    assert np.array_equal(heard(exact), exact) and np.array_equal(heard(MONO.tolist()), exact)
    assert np.abs(heard((MONO * 32768).astype(np.int16)) - exact).max() < 1e-4
    assert np.abs(heard((MONO * 128 + 128).astype(np.uint8)) - exact).max() < 1e-2
    assert np.allclose(heard(tone(2).T), tone(2).mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("found", RATES)
@pytest.mark.parametrize("rate", [8000, 16000])
def test_resampling_keeps_the_pitch(found: int, rate: int) -> None:
    """A sine that both rates can hold stays the same sine."""
    seconds, pitch = (2000 if found > 100 else 200) / min(found, 4000), min(found, rate) / 20
    given = np.sin(2 * np.pi * pitch * np.arange(round(found * seconds)) / found)
    heard = load_audio({"array": given, "sampling_rate": found}, rate)
    assert len(heard) == round(len(given) * rate / found)
    inner = slice(len(heard) // 4, -len(heard) // 4)
    times = np.arange(len(heard)) / rate
    assert np.abs(heard - np.sin(2 * np.pi * pitch * times))[inner].max() < 1e-3
    assert np.abs(heard - np.sin(2 * np.pi * 1.02 * pitch * times))[inner].max() > 0.5, "the control"


def test_what_the_lower_rate_cannot_hold_is_taken_out() -> None:
    """Left in, a tone above half the rate would come back as another tone."""
    given = np.sin(2 * np.pi * 6000 * np.arange(48000) / 48000)
    heard = load_audio({"array": given, "sampling_rate": 48000}, 8000)
    assert np.abs(heard[100:-100]).max() < 1e-3
    assert np.abs(given[::6]).max() > 0.5, "the control: taking every sixth sample"


def test_a_long_recording_read_in_blocks_is_the_same_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = recording("FLAC", channels=2, rate=44100)
    once = load_audio(data, 16000)
    monkeypatch.setattr("midstream.media.audio.BLOCK", 34)
    assert np.abs(load_audio(data, 16000) - once).max() < 1e-6


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_samples_that_are_no_sound_are_refused(value: float) -> None:
    samples = tone()
    samples[70] = value
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")
    refused(file.getvalue(), "has a sample of")
    refused({"array": samples[:, 0], "sampling_rate": RATE}, "has a sample of")
    refused({"array": samples[:, 0], "sampling_rate": 44100}, "has a sample of")


def test_no_samples_are_refused() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((0, 1)), RATE, format="WAV")
    refused(file.getvalue(), "no samples")
    refused({"array": [], "sampling_rate": RATE}, "no samples")


@pytest.mark.parametrize("rate", [0, -1, 768_001, 2**31, 1.5, float("nan"), "8000", None])
def test_rates_that_are_none(rate: Any) -> None:
    refused({"array": MONO, "sampling_rate": rate}, "not a whole number")
    refused(recording("WAV"), "asked for", rate)


@pytest.mark.parametrize("rate", [1, 3, 768_000])
def test_odd_rates_of_files(rate: int) -> None:
    assert len(load_audio(recording("WAV", rate=rate), rate)) == SAMPLES
    assert len(load_audio(recording("WAV", rate=rate), 1000)) == max(1, round(SAMPLES * 1000 / rate))


@pytest.mark.parametrize("rate", [0, 768_001, 2**31 - 1, 2**32 - 1])
def test_impossible_rates_of_files(rate: int) -> None:
    data = bytearray(recording("WAV"))
    data[24:28] = struct.pack("<I", rate)
    refused(bytes(data), "sampling rate|cannot be decoded")


def test_ten_hours_are_refused_by_the_header(tmp_path: Path) -> None:
    """Nothing is decoded: the file is sparse, 288 MB that hold no data."""
    seconds = 36_000
    header = recording("WAV", "PCM_U8")
    at = header.index(b"data") + 4
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.write(header[:at] + struct.pack("<I", seconds * RATE))
        file.truncate(at + 4 + seconds * RATE)
    refused(path, f"36,000 seconds, more than the {MAX_AUDIO_SECONDS:,}")
    refused({"array": np.zeros(MAX_AUDIO_SECONDS + 1, np.int8), "sampling_rate": 1}, "seconds, more than")


def test_a_header_that_does_not_tell_the_length_is_not_believed() -> None:
    """FLAC may leave its number of samples at 0; what is decoded is counted."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(MAX_AUDIO_SECONDS + 5000), 1, format="FLAC")
    data = bytearray(file.getvalue())
    refused(bytes(data), "8,600 seconds, more than")
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    refused(bytes(data), "more than the")


def test_too_many_values_are_refused() -> None:
    refused({"array": np.zeros((65, 10)), "sampling_rate": RATE}, "65 channels")
    refused({"array": np.zeros(3000, np.int8), "sampling_rate": 1}, "2,304,000,000 samples, more than", 768_000)


@pytest.mark.parametrize("kind", TOLERANCE)
def test_a_truncated_file_is_refused_or_a_beginning(kind: str) -> None:
    data, refusals = recording(kind), 0
    whole = load_audio(data, RATE)
    for part in range(25):
        try:
            found = load_audio(data[: len(data) * part // 25], RATE)
        except InputError:
            refusals += 1
        else:
            assert np.abs(found - whole[: len(found)]).max() < TOLERANCE[kind]
    assert refusals >= (20 if kind in ("WAV", "FLAC", "OGG") else 1)


def test_mp3_of_varying_bit_rate_without_its_length_is_refused() -> None:
    """libsndfile would read a third of it and call that the whole."""
    noise = np.random.default_rng(0).normal(size=RATE * 8) * np.repeat([1e-4, 0.3], RATE * 4)
    file = io.BytesIO()
    soundfile.write(file, noise, RATE, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5)
    data = file.getvalue()
    assert len(load_audio(data, RATE)) == len(noise)
    without = data[data.index(data[:2], 4) :]
    promised = soundfile.SoundFile(io.BytesIO(without)).frames
    assert promised < 0.9 * len(noise) or promised > 1.1 * len(noise), "the control: the guess is wrong"
    refused(without, "varying bit rate")


@pytest.mark.parametrize("change", range(6))
def test_a_damaged_ogg_page_is_refused(change: int) -> None:
    data = bytearray(recording("OGG"))
    data[len(data) * (change + 1) // 8] ^= 4
    refused(bytes(data), "checksum")


@pytest.mark.parametrize("kind", ["MP3", "WAV", "FLAC", "OGG"])
def test_decoders_keep_quiet(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = recording(kind)
    for part in range(1, 40):
        for damaged in (data[: len(data) * part // 40], data[len(data) * part // 40 :], data[:50] + data[50 + part :]):
            with contextlib.suppress(InputError):
                load_audio(damaged, RATE)
    assert capfd.readouterr().err == ""


def test_mpg123_would_talk(capfd: pytest.CaptureFixture[str]) -> None:
    """The control of the test above."""
    data = recording("MP3")
    for part in range(1, 40):
        with contextlib.suppress(soundfile.LibsndfileError, TypeError):
            soundfile.read(io.BytesIO(data[: len(data) * part // 40]))
    assert "libmpg123" in capfd.readouterr().err


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"hello", bytes(500), b"\xff", b"ID3", b"RIFF\0\0\0\0WAVE", b"OggS", b"fLaC"]
)
def test_what_is_no_recording_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "sound.wav").write_bytes(data)
    refused(data, ";")
    refused(tmp_path / "sound.wav", r"sound\.wav")


@pytest.mark.parametrize(
    "source", [None, 3, np.zeros(3), [0.1], {"array": [1.0]}, {}, {"array": "x", "sampling_rate": 1}]
)
def test_what_is_no_source_is_refused(source: Any) -> None:
    refused(source, "audio")


@pytest.mark.parametrize("library", ["soundfile", "soxr"])
def test_a_missing_library_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    refused(recording("WAV"), rf"{library}, which is not installed; run: pip install 'midstream\[audio\]'", 16000)
