"""Recordings (WAV, FLAC, OGG, MP3 through soundfile) and arrays to mono float32 at the rate that is asked for."""

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.media.completeness import wav_is_cut
from midstream.media.limits import (
    MAX_AMPLITUDE,
    MAX_AUDIO_CHANNELS,
    MAX_AUDIO_SECONDS,
    MAX_AUDIO_VALUES,
    MAX_SAMPLING_RATE,
    MIN_SAMPLING_RATE,
)
from midstream.media.quiet import without_stderr
from midstream.media.sources import decoding, head_of, missing, name_of, opened, unwrapped
from midstream.media.streams import mp3_is_cut, mp3_samples, ogg_is_broken

KINDS = "WAV, FLAC, OGG or MP3"
BLOCK = 1 << 20
"""Values (samples times channels) that are decoded at a time."""

SLACK = 3 * 1152
"""Samples at the ends of an MP3 that decoders may leave out."""


def load_audio(source: Any, rate: int) -> NDArray[np.float32]:
    """A recording as (samples,) float32, full scale 1, its channels averaged, at `rate`.

    N samples at s Hz become round(N * rate / s) (at least one). A file that is cut off is refused if its
    format can tell: an MP3 without a length tag, and an OGG cut between two pages, give the beginning that is there.

    Args:
        source: a path or bytes (the content decides, not the name), {"bytes": ..., "path": ...}, or
            {"array": (samples,) or (channels, samples), "sampling_rate": Hz}; integers are divided by their full scale.
        rate: sampling rate of the result in Hz.

    Raises:
        InputError: missing, empty, damaged, not a recording, NaN or infinite samples, beyond a limit of
            `midstream.media.limits`, or soundfile and soxr are not installed.
    """
    source = unwrapped(source)
    name = name_of(source, "the given audio")
    _check_rate(rate, "the sampling rate asked for")
    if isinstance(source, Mapping) and {"array", "sampling_rate"} <= set(source):
        return _from_array(source["array"], source["sampling_rate"], rate, name)
    if not isinstance(source, str | bytes | bytearray | memoryview) and not hasattr(source, "__fspath__"):
        raise InputError(
            f'audio must be a path, bytes or {{"array", "sampling_rate"}}, not {type(source).__name__}; '
            f"an array alone does not tell its sampling rate"
        )
    with opened(source, KINDS) as file, decoding(name):
        return _from_file(file, rate, name)


def _check_rate(rate: Any, what: str) -> None:
    whole = isinstance(rate, int | np.integer) or (isinstance(rate, float) and rate.is_integer())
    if not whole or not MIN_SAMPLING_RATE <= rate <= MAX_SAMPLING_RATE:
        raise InputError(
            f"{what} is {rate!r}, not a whole number from {MIN_SAMPLING_RATE} to {MAX_SAMPLING_RATE:,} Hz; correct it"
        )


def _check_length(samples: int, channels: int, found: int, rate: int, name: str) -> None:
    """Refuse what is too long at its own rate or at the one asked for."""
    if samples > MAX_AUDIO_SECONDS * found:
        raise InputError(
            f"{name} lasts {samples / found:,.0f} seconds, more than the {MAX_AUDIO_SECONDS:,} that are decoded; cut it"
        )
    values = max(samples * channels, samples * rate // found)
    if values > MAX_AUDIO_VALUES:
        raise InputError(f"{name} has {values:,} samples, more than the {MAX_AUDIO_VALUES:,} that are decoded; cut it")


def _check_channels(channels: int, name: str) -> None:
    if not 1 <= channels <= MAX_AUDIO_CHANNELS:
        raise InputError(
            f"{name} has {channels} channels, not 1 to {MAX_AUDIO_CHANNELS}; arrays are (channels, samples)"
        )


def _from_array(values: Any, found: Any, rate: int, name: str) -> NDArray[np.float32]:
    _check_rate(found, f"the sampling rate of {name}")
    with decoding(name):
        array = np.asarray(values)
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
        raise InputError(
            f"{name} is an array of {array.dtype} with {array.ndim} axes; give (samples,) or (channels, samples)"
        )
    array = array[None] if array.ndim == 1 else array
    channels, samples = array.shape
    _check_channels(channels, name)
    _check_length(samples, channels, int(found), rate, name)
    step = max(1, BLOCK // channels)
    blocks = (_scaled(array[:, at : at + step]).T for at in range(0, samples, step))
    return _joined(blocks, int(found), rate, name)


def _scaled(array: NDArray[Any]) -> NDArray[np.float32]:
    """Integers over their full scale; unsigned ones have their zero in the middle."""
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what becomes infinite is refused afterwards
            return array.astype(np.float32)
    half = 2.0 ** (8 * array.dtype.itemsize - 1)
    return (array / half - (array.dtype.kind == "u")).astype(np.float32)


def _from_file(file: BinaryIO, rate: int, name: str) -> NDArray[np.float32]:
    head = head_of(file, 12)
    wav = head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:] == b"WAVE"
    mp3 = head[:3] == b"ID3" or (head[:1] == b"\xff" and len(head) > 1 and head[1] >= 0xE0)
    if not (wav or mp3 or head[:4] in (b"fLaC", b"OggS")):
        raise InputError(f"{name} is not a recording that can be read; give a {KINDS} file")
    if (wav and wav_is_cut(file)) or (mp3 and mp3_is_cut(file)):
        raise InputError(f"{name} is cut off: its header promises more samples than there are; copy it again")
    if head[:4] == b"OggS" and ogg_is_broken(file):
        raise InputError(f"{name} is cut off or damaged: a page does not fit its checksum; copy it again")
    walked = mp3_samples(file) if mp3 else None
    file.seek(0)
    try:
        import soundfile
    except ImportError:
        raise missing("soundfile", "audio", name) from None
    # Only mpg123, which reads MP3, talks.
    with without_stderr() if mp3 else nullcontext(), soundfile.SoundFile(_unnamed(file), closefd=False) as sound:
        found, channels = sound.samplerate, sound.channels
        _check_rate(found, f"the sampling rate of {name}")
        _check_channels(channels, name)
        _check_length(sound.frames, channels, found, rate, name)
        if walked is not None and walked > sound.frames + SLACK:
            raise InputError(
                f"{name} is an MP3 of varying bit rate that does not state its length ({walked:,} samples, of which "
                f"{sound.frames:,} would be read); convert it to WAV or FLAC"
            )
        blocks = _decoded(sound, found, channels, rate, name)
        return _joined(blocks, found, rate, name)


def _unnamed(file: BinaryIO) -> BinaryIO | int:
    """A file by its descriptor: of a named one, soundfile and libsndfile would believe the ending."""
    if isinstance(file, io.BytesIO):
        return file
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    return file.fileno()


def _decoded(sound: Any, found: int, channels: int, rate: int, name: str) -> Iterator[NDArray[np.float32]]:
    """Blocks of (samples, channels), counted while they come: a header may lie either way."""
    samples, promised, stream = 0, sound.frames, sound.format in ("OGG", "MP3", "MPEG")
    while len(block := sound.read(max(1, BLOCK // channels), dtype="float32", always_2d=True)):
        samples += len(block)
        _check_length(samples, channels, found, rate, name)
        yield block
    if samples < promised and not stream:
        raise InputError(f"{name} is cut off: {samples:,} of {promised:,} samples are there; copy it again")


def _joined(blocks: Iterable[NDArray[np.float32]], found: int, rate: int, name: str) -> NDArray[np.float32]:
    """Blocks (samples, channels) checked, mixed down and resampled one after the other: (samples,)."""
    resampler, pieces, samples = _resampler(found, rate, name), [], 0
    for block in blocks:
        loudest = np.abs(block).max(initial=0)
        if not loudest <= MAX_AMPLITUDE:
            raise InputError(f"{name} has a sample of {loudest}, beyond {MAX_AMPLITUDE:.0e} (full scale is 1); mend it")
        samples += len(block)
        mono = np.ascontiguousarray(block @ np.full(block.shape[1], 1 / block.shape[1], np.float32))
        pieces.append(resampler.resample_chunk(mono) if resampler else mono)
    if samples == 0:
        raise InputError(f"{name} has no samples; give a recording of at least one")
    if resampler:
        pieces.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    wanted = max(1, round(samples * rate / found))
    heard = np.concatenate(pieces)[:wanted]
    return np.pad(heard, (0, wanted - len(heard))) if len(heard) < wanted else heard


def _resampler(found: int, rate: int, name: str) -> Any:
    """A band-limited resampler for mono float32 (soxr, high quality), or None where the rates agree."""
    if found == rate:
        return None
    try:
        import soxr
    except ImportError:
        raise missing("soxr", "audio", f"{name} ({found} Hz, wanted at {rate})") from None
    return soxr.ResampleStream(found, rate, 1, dtype="float32", quality="HQ")
