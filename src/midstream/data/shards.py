"""Webdataset: tar files in which `KEY.jpg`, `KEY.wav` or `KEY.mp4` stand beside `KEY.json` or `KEY.txt`.

`datasets` reads the files; this module says what their members are, and finds the bad member when they cannot be read.
"""

import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
from datasets.packaged_modules.webdataset.webdataset import WebDataset, base_plus_ext

from midstream.data.columns import Columns
from midstream.data.reading import parse_json
from midstream.data.rows import Row, Rows
from midstream.data.streams import Stream, stream_of
from midstream.data.tables import BROKEN, first_line, maker
from midstream.errors import InputError

JSON = ("json", "jsn")
TEXT = ("txt", "text", "transcript")
NUMBERS = ("cls", "id", "index")
MEDIA = {
    "image": WebDataset.IMAGE_EXTENSIONS,
    "audio": WebDataset.AUDIO_EXTENSIONS,
    "video": WebDataset.VIDEO_EXTENSIONS,
}
"""Endings by medium, as `datasets` knows them; a recipe's `media` goes before."""
LOOKED_AT = 1000
"""Members of the first file from which the endings are learnt."""
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def read_shards(
    patterns: Sequence[str], columns: Columns, streaming: bool = True, shuffle: int = 0, seed: int = 0
) -> Rows | Stream:
    """Samples of tar files.

    Args:
        patterns: paths of the files, with `*` or `{000..007}` for many.
        columns: which members are what; the fields of a JSON member count as columns.
        streaming: read the files as they come; otherwise `datasets` first makes a table of them in its own cache.
        shuffle: of a stream; see `midstream.data.streams`.
        seed: of a stream's shuffle.

    Raises:
        InputError: no such file, or one that is no webdataset; a bad sample is named when it is reached.
    """
    files = [file for pattern in patterns for file in expanded(pattern)]
    name = ", ".join(patterns)
    features, media = _members(files[0])
    try:
        table: Any = datasets.load_dataset(
            "webdataset", data_files={"train": files}, split="train", streaming=streaming, features=features
        )
    except BROKEN as error:
        raise InputError(_diagnosis(files) or f"{name} cannot be read as webdataset: {first_line(error)}") from None
    make = maker(media, columns)
    if not streaming:
        version = f"{table._fingerprint} {columns}"
        return Rows(range(len(table)), lambda i: _sample(table[i], make), name, version)

    def read(entries: Any) -> Iterator[Callable[[], Row]]:
        try:
            for entry in entries:
                yield partial(_sample, entry, make)
        except BROKEN as error:
            raise InputError(_diagnosis(files) or f"{name} cannot be read to the end: {first_line(error)}") from None

    return stream_of(table, read, lambda made: made(), name, shuffle, seed)


def expanded(pattern: str) -> list[str]:
    """The files that a pattern stands for, in order.

    Raises:
        InputError: there is none, or one that the pattern names is missing.
    """
    numbered = [pattern]
    while any(RANGE.search(name) for name in numbered):
        numbered = [one for name in numbered for one in _one_range(name)]
    found: list[str] = []
    for name in numbered:
        path = Path(name)
        if path.is_file():
            found.append(name)
            continue
        fixed = [part for part in path.parts if not set(part) & set("*?[")]
        matched = sorted(str(file) for file in Path(*fixed[:1] or ["."]).glob("/".join(path.parts[len(fixed[:1]) :])))
        if not matched:
            raise InputError(f"there is no file {name}; name tar files, with * or {{000..007}} for many")
        found += matched
    return found


def _one_range(name: str) -> list[str]:
    found = RANGE.search(name)
    if found is None:
        return [name]
    low, high = found.groups()
    return [f"{name[: found.start()]}{n:0{len(low)}d}{name[found.end() :]}" for n in range(int(low), int(high) + 1)]


def _members(file: str) -> tuple[datasets.Features, dict[str, str]]:
    """What the endings of the first members are, and which of them are media. Those stay bytes.

    Raises:
        InputError: the file is no tar file, or has no member that can be read.
    """
    try:
        with tarfile.open(file) as tar:
            names = [member.name for member in islice(tar, LOOKED_AT) if member.isfile()]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"{file} is no tar file that can be read ({first_line(error)})") from None
    features: dict[str, Any] = {}
    media: dict[str, str] = {}
    for ending in dict.fromkeys(found for name in names if (found := base_plus_ext(name)[1])):
        last = ending.rpartition(".")[2].lower()
        kind = next((kind for kind, endings in MEDIA.items() if last in endings), None)
        if kind is not None:
            features[ending], media[ending] = datasets.Value("binary"), kind
        elif last in JSON:
            features[ending] = datasets.Json()  # samples need not have the same fields
        elif last in TEXT:
            features[ending] = datasets.Value("string")
        elif last in NUMBERS:
            features[ending] = datasets.Value("int64")
    if not features:
        raise InputError(f"{file} has no member KEY.jpg, KEY.wav, KEY.mp4, KEY.json, KEY.txt or their like")
    own = {"__key__": datasets.Value("string"), "__url__": datasets.Value("string")}
    return datasets.Features(features | own), media


def _sample(entry: Mapping[str, Any], make: Callable[[Mapping[str, Any], str], Row]) -> Row:
    """One row; the fields of a JSON member become columns."""
    where = f"{entry['__url__']}: sample {entry['__key__']}"
    flat: dict[str, Any] = {"id": f"{Path(entry['__url__']).name}:{entry['__key__']}"}
    for column, value in entry.items():
        if column.rpartition(".")[2].lower() in JSON and value is not None:
            if not isinstance(value, dict):
                raise InputError(f"{where}: `{column}` must hold an object, not {type(value).__name__}")
            flat |= value
        elif not column.startswith("__"):
            flat[column] = value
    return make(flat, where)


def _diagnosis(files: Sequence[str]) -> str | None:
    """The first member that cannot be read, in words."""
    for file in files:
        try:
            with tarfile.open(file) as tar:
                for member in tar:
                    ending = member.name.rpartition(".")[2].lower()
                    if ending in (*JSON, *TEXT, *NUMBERS):
                        opened = tar.extractfile(member)
                        _check_member(opened.read() if opened else b"", ending, f"{file}: member {member.name}")
        except InputError as error:
            return str(error)
        except (tarfile.TarError, OSError, EOFError) as error:
            return f"{file} is no whole tar file ({first_line(error)})"
    return None


def _check_member(content: bytes, ending: str, where: str) -> None:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{where}: not UTF-8 text") from None
    if ending in JSON:
        parse_json(text, where, lines=True)
    elif ending in NUMBERS and not text.strip().lstrip("+-").isdigit():
        raise InputError(f"{where}: holds {text[:20]!r}; a .{ending} member must be a whole number")
