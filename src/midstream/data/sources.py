"""From a recipe's `data` section to rows. Knows the kinds of data recipes name; how each is read lives beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from midstream import pocket
from midstream import recipe as settings
from midstream.data import formats
from midstream.data.columns import Columns
from midstream.data.formats.jsonl import lines_of, row_of_line
from midstream.data.mixing import mixed
from midstream.data.rows import Row, Rows
from midstream.data.streams import Stream, stream_of
from midstream.errors import InputError
from midstream.pocket.worlds import example_of


def open_rows(data: "settings.Data", split: str, count: int | None = None) -> Rows:
    """The rows of one split, with numbers: of a stream the first `count`, which are then kept in memory.

    Args:
        data: a recipe's `data` section.
        split: `train`, or what the data set calls its others (`validation`, `test`, the pocket world's `held_out`).
        count: how many rows at most; for pocket scenes, how many to draw.

    Raises:
        InputError: no such split, or the first bad entry of the files; a stream, of which no number is asked for.
    """
    rows = open_data(data, split, count)
    if isinstance(rows, Stream):
        if count is None:
            raise InputError(f"{rows.name} is a stream, which has no end; say how many rows are wanted")
        return rows.first(count)
    return rows


def open_data(data: "settings.Data", split: str, count: int | None = None) -> Rows | Stream:
    """The rows of one split, or the stream of them if the recipe says `streaming`.

    Args:
        data: a recipe's `data` section.
        split: as for `open_rows`.
        count: how many rows at most.

    Raises:
        InputError: no such split, or the first bad entry of the files.
    """
    if isinstance(data, settings.PocketData):
        return _pocket(data, split, count)
    rows = _mix(data, split) if isinstance(data, settings.MixData) else _files(data, split)
    limit = count if split != "train" or data.limit is None else min(data.limit, count or data.limit)
    if limit is None:
        return rows
    return rows.only(limit) if isinstance(rows, Stream) else rows[:limit]


def _mix(data: "settings.MixData", split: str) -> Rows | Stream:
    parts = [open_data(part.data, split) for part in data.parts]
    return mixed(parts, [part.weight for part in data.parts], data.seed)


def _pocket(data: "settings.PocketData", split: str, count: int | None) -> Rows:
    example = example_of(data.world)
    known: tuple[Any, ...] = get_args(pocket.Split)
    if split not in known:
        raise InputError(f"the pocket world has no split {split!r}; choose one of {', '.join(known)}")
    name: Any = split
    if split == "train":
        scenes, questions, describe = count or data.scenes, data.questions, data.describe
    else:
        described = data.asked == "descriptions"
        scenes, questions, describe = count or 500, int(not described), described  # n scenes, n answers

    def row(index: int) -> Row:
        return example(name, index, data.seed, questions_per_scene=questions, include_describe=describe)

    drawn = f"{data.world} {split} {data.seed} {questions} {describe}"
    return Rows(range(scenes), row, f"pocket {data.world}, {split}", drawn)


def _files(data: "settings.Data", split: str) -> Rows | Stream:
    if isinstance(data, settings.Vqav2Data):
        return formats.read_vqav2(data.root, _one_of(split, ("train", "val"), "VQAv2"))
    if isinstance(data, settings.CocoCaptionsData):
        return formats.read_coco_captions(data.root, _one_of(split, ("train", "val"), "COCO"), data.year, data.request)
    if isinstance(data, settings.AudioCapsData | settings.MsrVttData):
        return _captions(data, split)
    if isinstance(data, settings.HubData):
        from midstream.data.tables import read_table  # `datasets` takes a second to import

        return read_table(data.path, data.name, split, _columns(data), data.streaming, _buffer(data, split), data.seed)
    path = _named(data, split)
    if isinstance(data, settings.WebdatasetData):
        from midstream.data.shards import read_shards

        patterns = [path] if isinstance(path, str) else path
        return read_shards(patterns, _columns(data), data.streaming, _buffer(data, split), data.seed)
    if isinstance(data, settings.LlavaData):
        return formats.read_llava(path, data.folder or path.parent)
    assert isinstance(data, settings.JsonlData)
    if data.streaming and split == "train":
        return _lines(data, path)
    return formats.read_jsonl(path, data.folder)


def _captions(data: "settings.AudioCapsData | settings.MsrVttData", split: str) -> Rows:
    """Training stops at missing media or leaves them out; evaluation keeps them and counts them as bad."""
    training = split == "train"
    missing: Any = data.missing if training else "keep"
    each = training and data.captions == "each"
    if isinstance(data, settings.AudioCapsData):
        split = _one_of(split, ("train", "val", "test"), "AudioCaps")
        return formats.read_audiocaps(data.root, split, data.request, missing, each, data.audio)
    split = "validate" if split in ("val", "validation") else split
    split = _one_of(split, ("train", "validate", "test"), "MSR-VTT")
    return formats.read_msrvtt(data.root, split, data.request, missing, each)


def _lines(data: "settings.JsonlData", path: Path) -> Stream:
    import datasets

    table = datasets.IterableDataset.from_generator(lines_of, gen_kwargs={"path": str(path)})

    def make(entry: Any) -> Row:
        return row_of_line(entry["number"], entry["line"], path, data.folder)

    return stream_of(table, iter, make, str(path), data.shuffle, data.seed)


def _columns(data: "settings.HubData | settings.WebdatasetData") -> Columns:
    return Columns(data.question, data.answer, data.media, data.request)


def _buffer(data: "settings.HubData | settings.WebdatasetData", split: str) -> int:
    return data.shuffle if split == "train" else 0


def _named(data: Any, split: str) -> Any:
    """What a recipe names for a split."""
    named = {"train": data.train, "validation": data.validation, "test": data.test}
    path = named.get(split)
    if path is None:
        there = ", ".join(name for name, found in named.items() if found is not None)
        raise InputError(
            f"the recipe names no {split!r} data, only {there}; name them in `data` or choose another split"
        )
    return path


def _one_of(split: str, known: Sequence[str], name: str) -> str:
    # People and other data sets say "validation"; these say "val".
    split = "val" if split == "validation" else split
    if split not in known:
        raise InputError(f"{name} has no split {split!r} with answers; choose one of {', '.join(known)}")
    return split
