"""From a recipe's `data` section to rows. Knows the kinds of data recipes name; how each is read lives beside it."""

from pathlib import Path
from typing import Any, get_args

from midstream import pocket
from midstream import recipe as settings
from midstream.data import formats
from midstream.data.rows import Row, Rows, check_row, fill_images
from midstream.errors import InputError


def open_rows(data: "settings.Data", split: str, count: int | None = None) -> Rows:
    """The rows of one split.

    Args:
        data: a recipe's `data` section.
        split: `train`, or what the data set calls its others (`validation`, `test`, the pocket world's `held_out`).
        count: how many rows at most; for pocket scenes, how many to draw.

    Raises:
        InputError: no such split, or the first bad entry of the files.
    """
    if isinstance(data, settings.PocketData):
        return _pocket(data, split, count)
    rows = _files(data, split)
    limit = count if split != "train" or data.limit is None else min(data.limit, count or data.limit)
    return rows if limit is None else rows[:limit]


def _pocket(data: "settings.PocketData", split: str, count: int | None) -> Rows:
    known: tuple[Any, ...] = get_args(pocket.Split)
    if split not in known:
        raise InputError(f"the pocket world has no split {split!r}; choose one of {', '.join(known)}")
    name: Any = split
    if split == "train":
        scenes, questions, describe = count or data.scenes, data.questions, data.describe
    else:
        scenes, questions, describe = count or 500, 1, False  # one question per picture: n pictures, n answers

    def row(index: int) -> Row:
        return pocket.example(name, index, data.seed, questions_per_scene=questions, include_describe=describe)

    drawn = f"{split} {data.seed} {questions} {describe}"
    return Rows(range(scenes), row, f"pocket scenes, {split}", drawn)


def _files(data: "settings.Data", split: str) -> Rows:
    if isinstance(data, settings.Vqav2Data):
        return formats.read_vqav2(data.root, _one_of(split, ("train", "val"), "VQAv2"))
    if isinstance(data, settings.CocoCaptionsData):
        return formats.read_coco_captions(data.root, _one_of(split, ("train", "val"), "COCO"), data.year, data.request)
    if isinstance(data, settings.HubData):
        return _hub(data, split)
    assert isinstance(data, settings.JsonlData | settings.LlavaData)
    named = {"train": data.train, "validation": data.validation, "test": data.test}
    path = named.get(split)
    if path is None:
        there = ", ".join(name for name, found in named.items() if found is not None)
        raise InputError(
            f"the recipe names no {split!r} data, only {there}; name them in `data` or choose another split"
        )
    if isinstance(data, settings.LlavaData):
        return formats.read_llava(path, data.images)
    return formats.read_jsonl(path, data.images)


def _one_of(split: str, known: tuple[str, ...], name: str) -> str:
    # People and other data sets say "validation"; these two say "val".
    split = "val" if split == "validation" else split
    if split not in known:
        raise InputError(f"{name} has no split {split!r} with answers; choose one of {', '.join(known)}")
    return split


def _hub(data: "settings.HubData", split: str) -> Rows:
    """Rows of a `datasets` data set: a hub id, or a folder that `save_to_disk` wrote."""
    import datasets

    try:
        if Path(data.path).is_dir():
            found: Any = datasets.load_from_disk(data.path)
            table = found[split] if isinstance(found, datasets.DatasetDict) else found
        else:
            table = datasets.load_dataset(data.path, data.name, split=split)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"data set {data.path!r} has no split {split!r} here: {str(error).splitlines()[0]}") from None

    def row(index: int) -> Row:
        entry = _without_nulls(table[index])
        where = f"{data.path}[{index}]"
        images = entry.pop("images", None)
        return check_row(fill_images(entry, images, where) if images is not None else entry, where)

    return Rows(range(len(table)), row, f"{data.path}, {split}", str(table._fingerprint))


def _without_nulls(entry: Any) -> Any:
    """Arrow gives every part every field; the ones that were never there come back as None."""
    if isinstance(entry, dict):
        return {key: _without_nulls(value) for key, value in entry.items() if value is not None}
    return [_without_nulls(value) for value in entry] if isinstance(entry, list) else entry
