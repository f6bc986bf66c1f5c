"""What the library `datasets` reads: repositories of the hub, saved folders; see `midstream.data.shards` for tar files.

Media columns are never decoded by `datasets`: their bytes and paths go to `midstream.media`, whose limits hold for them
as for any file.
"""

import tarfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import datasets
from pyarrow import ArrowException

from midstream.data.columns import Columns, row_of
from midstream.data.rows import Row, Rows
from midstream.data.streams import Stream, stream_of
from midstream.errors import InputError

MEDIA = {datasets.Image: "image", datasets.Audio: "audio", datasets.Video: "video"}
LISTS = (datasets.List, datasets.LargeList)
BROKEN = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, ImportError),
    *(datasets.exceptions.DatasetsError, ArrowException, tarfile.TarError),
)
"""What `datasets` raises for data that it cannot read."""
SAVED = ("dataset_dict.json", "dataset_info.json")


def read_table(
    path: str, name: str | None, split: str, columns: Columns, streaming: bool = False, shuffle: int = 0, seed: int = 0
) -> Rows | Stream:
    """A data set of the hub, a folder that `save_to_disk` wrote, or a folder that `load_dataset` knows how to read.

    Args:
        path: repository id or folder.
        name: configuration of the repository.
        split: as the data set calls it.
        columns: which are what.
        streaming: read it as it comes, without a copy on this machine.
        shuffle: of a stream; see `midstream.data.streams`.
        seed: of a stream's shuffle.

    Raises:
        InputError: no such data set or split; a row that is none is named when it is asked for.
    """
    try:
        table = _table(path, name, split, streaming)
        features = undecoded(table)
    except BROKEN as error:
        raise InputError(f"data set {path!r} has no split {split!r} here: {first_line(error)}") from None
    media = {column: kind for column, feature in features.items() if (kind := _medium(feature)) is not None}
    labels = {column: feature for column, feature in features.items() if isinstance(feature, datasets.ClassLabel)}
    make = maker(media, columns, labels)
    title = f"{path}, {split}"
    if not streaming:
        arrow = table.with_format("arrow")  # as it is stored; a cast would copy the whole data set

        def row(index: int) -> Row:
            return make(features.decode_example(arrow[index].to_pylist()[0]), f"{path}[{index}]")

        return Rows(range(len(table)), row, title, f"{table._fingerprint} {columns}")

    def read(entries: Any) -> Iterator[Callable[[], Row]]:
        try:
            for number, entry in enumerate(entries):
                yield partial(make, entry, f"{path}, entry {number} as it streams")
        except BROKEN as error:
            raise InputError(f"data set {path!r} cannot be read to the end: {first_line(error)}") from None

    return stream_of(table.cast(features), read, lambda made: made(), title, shuffle, seed)


def _table(path: str, name: str | None, split: str, streaming: bool) -> Any:
    if not any((Path(path) / file).is_file() for file in SAVED):
        return datasets.load_dataset(path, name, split=split, streaming=streaming)
    found: Any = datasets.load_from_disk(path)
    table = found[split] if isinstance(found, datasets.DatasetDict) else found
    return table.to_iterable_dataset() if streaming else table


def first_line(error: BaseException) -> str:
    """What an error of `datasets` says, without its advice."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def undecoded(table: Any) -> datasets.Features:
    """What the columns of a data set are, its media as bytes and paths.

    Raises:
        ValueError: a stream that does not tell.
    """
    features = table.features if table.features is not None else table._resolve_features().features
    if features is None:
        raise ValueError("it does not tell what its columns are")
    return datasets.Features({name: _undecoded(feature) for name, feature in features.items()})


def _undecoded(feature: Any) -> Any:
    for kind in MEDIA:
        if isinstance(feature, kind):
            return kind(decode=False)
    if isinstance(feature, LISTS):
        return type(feature)(_undecoded(feature.feature))
    return {name: _undecoded(inner) for name, inner in feature.items()} if isinstance(feature, dict) else feature


def maker(
    media: Mapping[str, str], columns: Columns, labels: Mapping[str, Any] | None = None
) -> Callable[[Mapping[str, Any], str], Row]:
    """What makes a row of an entry and its place.

    Args:
        media: column -> modality, as the data tell.
        columns: what the recipe says.
        labels: columns of classes, whose numbers have names.
    """

    def make(entry: Mapping[str, Any], where: str) -> Row:
        plain = {column: _plain(value) for column, value in entry.items() if value is not None}
        for column, feature in (labels or {}).items():
            if plain.get(column, -1) >= 0:
                plain[column] = feature.int2str(plain[column])
        return row_of(plain, columns, media, where)

    return make


def _medium(feature: Any) -> str | None:
    """The modality of a column, or of the items of its lists."""
    if isinstance(feature, LISTS):
        return _medium(feature.feature)
    return next((name for kind, name in MEDIA.items() if isinstance(feature, kind)), None)


def _plain(value: Any) -> Any:
    """Media as bytes or path; and Arrow gives every object every field: those that were never there are None."""
    if isinstance(value, dict):
        if value.keys() == {"bytes", "path"}:
            return value["path"] if value["bytes"] is None else value["bytes"]
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
