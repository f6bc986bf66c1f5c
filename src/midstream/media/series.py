"""Measurements over time (CSV, NPY, NPZ, JSON, arrays, lists) to float32 (time, channels)."""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.media.delimited import read_csv
from midstream.media.limits import MAX_SERIES_CHANNELS, MAX_SERIES_VALUES
from midstream.media.sources import decoding, head_of, name_of, opened, size_of, unwrapped

KINDS = "CSV, NPY, NPZ or JSON"
MAX_TEXT_BYTES = 25 * MAX_SERIES_VALUES
"""Size of a CSV file: more than 25 bytes for every value that is allowed cannot be needed."""
MAX_JSON_BYTES = 32_000_000
"""Size of a JSON file, which takes up to thirty times as much memory: it is read as a whole."""


def load_series(source: Any) -> NDArray[np.float32]:
    """A series as (time, channels) float32; one value per time step gives one channel.

    Args:
        source: a path or bytes of CSV (comma, semicolon or tab; a first row without any number is a header), NPY, NPZ
            (one array, or one called "series") or JSON (a list of numbers or of rows, or {channel: list});
            {"bytes": ..., "path": ...}; an array or nested list of numbers; a mapping from channel to list. The
            content decides, not the name of the file.

    Raises:
        InputError: missing, empty, damaged, ragged, not numbers (CSV: named by line and column), NaN, infinite, beyond
            float32 or beyond a limit of `midstream.media.limits`. Pickled arrays are never opened.
    """
    source = unwrapped(source)
    name = name_of(source, "the given series")
    if isinstance(source, str | bytes | bytearray | memoryview) or hasattr(source, "__fspath__"):
        with opened(source, KINDS) as file, decoding(name):
            return _checked(_from_file(file, name), name)
    return _checked(_from_values(source, name), name)


def _from_file(file: BinaryIO, name: str) -> NDArray[Any]:
    head = head_of(file, 6)
    if head == b"\x93NUMPY":
        return _from_npy(file, size_of(file), name)
    if head[:4] == b"PK\x03\x04":
        return _from_npz(file, name)
    if (size := size_of(file)) > MAX_TEXT_BYTES:
        raise InputError(f"{name} has {size:,} bytes, more than the {MAX_TEXT_BYTES:,} of text that are read; give NPY")
    if head_of(file, 4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] not in (b"[", b"{"):
        return read_csv(file, name)
    if size > MAX_JSON_BYTES:
        raise InputError(f"{name} has {size:,} bytes, more than the {MAX_JSON_BYTES:,} of JSON that are read; give NPY")
    return _from_values(json.loads(file.read().decode("utf-8-sig")), name)


def _from_npy(file: BinaryIO, size: int, name: str) -> NDArray[Any]:
    """The header is read first: NumPy would take the memory that it promises."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise InputError(f"{name} is an NPY file of version {version}, not of 1 or 2; save a plain array of numbers")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    values = _count(shape)
    if dtype.kind not in "fiub":
        raise InputError(f"{name} holds {dtype}, not real numbers; save floats or integers")
    _check_shape(shape, name)
    if (there := size - file.tell()) != values * dtype.itemsize:
        raise InputError(f"{name} promises {values * dtype.itemsize:,} bytes of data and has {there:,}; copy it again")
    file.seek(0)
    return np.load(file, allow_pickle=False)


def _from_npz(file: BinaryIO, name: str) -> NDArray[Any]:
    with zipfile.ZipFile(file) as archive:
        members = {item.filename.removesuffix(".npy"): item for item in archive.infolist()}
        chosen = members.get("series") or (next(iter(members.values())) if len(members) == 1 else None)
        if chosen is None:
            listed = ", ".join(sorted(members)[:8])
            raise InputError(f'{name} holds {len(members)} arrays ({listed}); keep one, or call one "series"')
        if chosen.file_size > (limit := 16 * MAX_SERIES_VALUES + 20_000):
            raise InputError(f"{name} unpacks to {chosen.file_size:,} bytes, more than {limit:,}; cut it")
        data = archive.read(chosen)  # no more than file_size, and its checksum is compared
    if data[:6] != b"\x93NUMPY":
        raise InputError(f"{name} holds no array but {chosen.filename}; save it with numpy.savez")
    return _from_npy(io.BytesIO(data), len(data), name)


def _from_values(values: Any, name: str) -> NDArray[Any]:
    """Arrays, nested lists, or a mapping from channel to values."""
    with decoding(name):
        if isinstance(values, Mapping):
            if {np.ndim(column) for column in values.values()} - {1}:
                raise InputError(f"{name} is a mapping, but not from each channel to its list of values; make it one")
            return np.stack([np.asarray(column) for column in values.values()], axis=1) if values else np.zeros((0, 0))
        return np.asarray(values)


def _count(shape: tuple[int, ...]) -> int:
    return int(np.prod([int(side) for side in shape], dtype=object)) if shape else 1


def _check_shape(shape: tuple[int, ...], name: str) -> None:
    if len(shape) not in (1, 2) or 0 in shape:
        raise InputError(
            f"{name} has the shape {shape}; a series is (time,) or (time, channels), with at least one value"
        )
    channels = shape[1] if len(shape) == 2 else 1
    if channels > MAX_SERIES_CHANNELS:
        raise InputError(f"{name} has {channels:,} channels, more than {MAX_SERIES_CHANNELS:,}; rows are time steps")
    if _count(shape) > MAX_SERIES_VALUES:
        raise InputError(f"{name} has {_count(shape):,} values, more than the {MAX_SERIES_VALUES:,} allowed; cut it")


def _checked(array: NDArray[Any], name: str) -> NDArray[np.float32]:
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} holds {array.dtype}, not real numbers in rows of equal length; correct it")
    _check_shape(array.shape, name)
    table = array[:, None] if array.ndim == 1 else array
    with np.errstate(over="ignore"):  # refused in the next line
        series = table.astype(np.float32)
    if not np.isfinite(series).all():
        step, channel = (int(index) for index in np.argwhere(~np.isfinite(series))[0])
        raise InputError(
            f"{name} has {table[step, channel]} at time step {step}, channel {channel}, not a finite float32; "
            f"fill or drop it"
        )
    return series
