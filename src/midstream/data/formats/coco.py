"""COCO captions."""

from pathlib import Path

from midstream.data.parts import one_turn
from midstream.data.reading import fields, read_json, some
from midstream.data.rows import Row, Rows
from midstream.errors import InputError


def read_coco_captions(root: Path, split: str, year: int = 2017, request: str = "describe the picture.") -> Rows:
    """COCO captions: one row per image, its first caption to learn and all of them to be compared with.

    Args:
        root: holds `annotations/captions_{split}{year}.json` and the image folder `{split}{year}`.
        split: `train` or `val`.
        year: 2014 or 2017, the two ways COCO is cut.
        request: what the user turn says.

    Raises:
        InputError: a file is missing, or the first bad entry.
    """
    name = f"{split}{year}"
    path = root / "annotations" / f"captions_{name}.json"
    content = fields(read_json(path), str(path), images=list, annotations=list)
    files: dict[int, str] = {}
    for i, entry in enumerate(content["images"]):
        entry = fields(entry, f"{path}.images[{i}]", id=int, file_name=str)
        files[entry["id"]] = str(root / name / entry["file_name"])
    captions: dict[int, list[str]] = {}
    for i, entry in enumerate(content["annotations"]):
        entry = fields(entry, f"{path}.annotations[{i}]", image_id=int, caption=str)
        if entry["image_id"] not in files:
            raise InputError(
                f"{path}.annotations[{i}].image_id is {entry['image_id']}, which field `images` does not list"
            )
        captions.setdefault(entry["image_id"], []).append(entry["caption"].strip())

    def row(record: tuple[int, list[str]]) -> Row:
        image, texts = record
        messages = one_turn([("image", files[image])], request, texts[0])
        return {"id": str(image), "messages": messages, "answers": [texts]}

    return Rows(some(list(captions.items()), path), row, f"COCO captions {name}")
