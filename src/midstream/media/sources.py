"""Where media come from: paths, bytes, mappings of either.

Knows no format, only that what a decoder raises is told in one sentence.
"""

import io
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from midstream.errors import InputError
from midstream.media.limits import MAX_FILE_BYTES


def unwrapped(source: Any) -> Any:
    """The bytes, otherwise the path, of {"bytes": ..., "path": ...}, as the `datasets` library keeps files."""
    if isinstance(source, Mapping) and source and set(source) <= {"bytes", "path"}:
        return source["bytes"] if source.get("bytes") is not None else source.get("path")
    return source


def name_of(source: Any, otherwise: str) -> str:
    """How an error names the source: its path on one line, or `otherwise`."""
    return " ".join(str(source).split())[:300] if isinstance(source, str | os.PathLike) else otherwise


@contextmanager
def opened(source: Any, kinds: str) -> Iterator[BinaryIO]:
    """A path or bytes as a binary file.

    Args:
        source: str, Path or bytes.
        kinds: the formats to advise when the file is empty, such as "WAV or FLAC".

    Raises:
        InputError: missing, not a regular file, empty, unreadable, or more than `MAX_FILE_BYTES`.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        if not data:
            raise InputError(f"the given bytes are empty (0 bytes); give a {kinds} file")
        yield io.BytesIO(data)
        return
    name = name_of(source, "")
    _check(Path(source), name, kinds)
    try:
        file = Path(source).open("rb")  # noqa: SIM115 (closed by the `with` below)
    except OSError as error:
        raise InputError(f"{name} cannot be opened ({error.strerror}); check its permissions") from None
    with file:
        yield file


def _check(path: Path, name: str, kinds: str) -> None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        raise InputError(f"{name} does not exist or is not a file; check the path") from None
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{name} does not exist or is not a file; check the path")
    if found.st_size == 0:
        raise InputError(f"{name} is empty (0 bytes); give a {kinds} file")
    if found.st_size > MAX_FILE_BYTES:
        raise InputError(
            f"{name} has {found.st_size:,} bytes, more than the {MAX_FILE_BYTES:,} that are opened; cut it"
        )


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Tell whatever a decoder raises in one sentence; what is an `InputError` already passes.

    Decoders raise anything on a broken file (struct.error, KeyError, MemoryError, their own classes), so all is caught.

    Raises:
        InputError: the block raised any `Exception`.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{name} cannot be decoded ({reason}); the file is damaged or incomplete") from None


def missing(library: str, extra: str, name: str) -> InputError:
    """The error when an optional library is not installed."""
    return InputError(f"{name} is read with {library}, which is not installed; run: pip install 'midstream[{extra}]'")


def size_of(file: BinaryIO) -> int:
    """Bytes in an open file, whose position stays."""
    here = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(here)
    return size


def head_of(file: BinaryIO, count: int) -> bytes:
    """The first bytes of an open file, which is left at its beginning."""
    file.seek(0)
    head = file.read(count)
    file.seek(0)
    return head
