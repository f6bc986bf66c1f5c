"""Measurements from files and objects: float32 (time, channels), or one sentence that names the cell."""

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.errors import InputError
from midstream.media import load_series

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3) / 4 - 1


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def text(delimiter: str = ",", header: str = "", end: str = "\n") -> bytes:
    rows = [delimiter.join(map(str, row)) for row in VALUES]
    return end.join(([header] if header else []) + rows).encode()


def refused(source: Any, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        load_series(source)
    assert len(str(caught.value).splitlines()) == 1


SAME: dict[str, Any] = {
    "csv": text(),
    "header": text(header="time,x,y"),
    "quoted": text(header='"a,b","x ""1""",y'),
    "semicolon": text(";", "t;x;y"),
    "tab": text("\t"),
    "windows": b"\xef\xbb\xbf" + text(header="t,x,y", end="\r\n") + b"\r\n\r\n",
    "npy": npy(VALUES),
    "npy_columns": npy(np.asfortranarray(VALUES.astype(">f8"))),
    "npz": npz(anything=VALUES),
    "npz_named": npz(series=VALUES, other=np.zeros(3)),
    "json": json.dumps(VALUES.tolist()).encode(),
    "json_channels": json.dumps({f"c{at}": VALUES[:, at].tolist() for at in range(3)}).encode(),
    "array": VALUES,
    "float64": VALUES.astype(np.float64),
    "list": VALUES.tolist(),
    "mapping": {"a": VALUES[:, 0], "b": VALUES[:, 1].tolist(), "c": VALUES[:, 2]},
}


@pytest.mark.parametrize("kind", SAME)
def test_every_way_of_writing_gives_the_same(kind: str, tmp_path: Path) -> None:
    found = load_series(SAME[kind])
    assert found.dtype == np.float32 and np.array_equal(found, VALUES)
    if isinstance(SAME[kind], bytes):
        (tmp_path / "series.txt").write_bytes(SAME[kind])
        assert np.array_equal(load_series(tmp_path / "series.txt"), VALUES)
        assert np.array_equal(load_series({"bytes": SAME[kind], "path": None}), VALUES)
    assert not np.array_equal(load_series(VALUES[::-1]), VALUES), "the control"


@pytest.mark.parametrize(
    "source", [b"1\n2\n3", b"[1, 2, 3]", [1, 2, 3], np.arange(1, 4), npy(np.arange(1, 4)), b"x\n1\n2\n3"]
)
def test_one_value_for_each_step_is_one_channel(source: Any) -> None:
    assert np.array_equal(load_series(source), [[1], [2], [3]])


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"a,b\n1,2\n3,x\n", "line 3, column 2: 'x'"),
        (b"1,2\n3,\n", "line 2, column 2: ''"),
        (b"1,2\nnan,4\n", "line 2, column 1: 'nan'"),
        (b"1,2\n3,inf\n", "line 2, column 2: 'inf'"),
        (b"1,2\n3,1e39\n", "line 2, column 2: '1e39'"),
        (b"1,2\n3,1_0\n", "line 2, column 2: '1_0'"),
        (b"1,2\n\n3\n", "line 3: 1 cells, but 2 before"),
        (b"a,b,c\n1,2\n", "line 2: 2 cells, but 3 before"),
        (b"a,1\n1,2\n", "line 1, column 1: 'a'"),
        (b"a,b\nc,d\n", "line 2, column 1: 'c'"),
        (b'1,"2\n', "cannot be decoded"),
        (b"a,b\n", "at least one value"),
        (b"\xff\xfe1\x00", "not text at line 1"),
        (b"1,2\n\x00,2\n", "line 2, column 1"),
    ],
)
def test_a_bad_cell_is_named_by_line_and_column(data: bytes, match: str) -> None:
    refused(data, match)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_what_is_not_finite_is_named(value: float) -> None:
    broken = VALUES.astype(np.float64)
    broken[2, 1] = value
    for source in (broken, broken.tolist(), npy(broken), npz(series=broken)):
        refused(source, "at time step 2, channel 1, not a finite float32")


@pytest.mark.parametrize(
    "source",
    [
        None,
        {},
        [],
        [[]],
        3,
        "",
        np.zeros((2, 2, 2)),
        [[1, 2], [3]],
        ["a"],
        [None],
        np.zeros(2, complex),
        {"a": 1},
        "no.csv",
    ],
    ids=repr,
)
def test_what_is_no_series_is_refused(source: Any) -> None:
    refused(source, ";")


@pytest.mark.parametrize(
    "data", [b"", b"[", b"[[1], 2]", b'{"a": [1], "b": [1, 2]}', b"[" * 100_000, b'["1"]', b"[1e999]"]
)
def test_broken_json_is_refused(data: bytes) -> None:
    refused(data, ";")


def test_pickles_are_never_opened() -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("a pickle was opened",))

    data = npy(np.array([Trap()], object), allow_pickle=True)
    with pytest.raises(pytest.fail.Exception):
        np.load(io.BytesIO(data), allow_pickle=True)  # the control: the trap works
    refused(data, "holds object")


def test_headers_that_promise_more_than_there_is() -> None:
    data = npy(np.zeros((10, 3)))
    refused(data[:-8], "promises 240 bytes of data and has 232")
    refused(data.replace(b"(10, 3)", b"(99, 3)"), "promises")
    refused(data.replace(b"(10, 3), }    ", b"(10**9, 3), }"), ";")
    refused(npy(np.zeros(1)).replace(b"(1,), }           ", b"(900000000000,), }"), "900,000,000,000 values, more than")


def test_a_zip_bomb_is_refused_by_its_directory() -> None:
    size = len(npy(VALUES))
    bomb = npz(series=VALUES).replace(struct.pack("<I", size), struct.pack("<I", 300_000_000))
    assert zipfile.ZipFile(io.BytesIO(bomb)).infolist()[0].file_size == 300_000_000
    refused(bomb, "unpacks to 300,000,000 bytes")
    refused(npz(a=VALUES, b=VALUES), 'holds 2 arrays .a, b.; keep one, or call one "series"')


def test_limits() -> None:
    refused(np.zeros((1, 4097), np.int8), "4,097 channels")
    refused(np.broadcast_to(np.int8(0), 16_000_001), "16,000,001 values")


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_series_or_refused(data: bytes) -> None:
    try:
        found = load_series(data)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert found.ndim == 2 and np.isfinite(found).all()
