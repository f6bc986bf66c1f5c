"""Data sets as they lie on disk, read into rows: JSON lines of messages, LLaVA, VQAv2, COCO captions.

Owns file layouts and their checks: the first bad entry is named by file, line or index, and field. Opens no image.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midstream.data.rows import Row, Rows, check_row, fill_images
from midstream.errors import InputError


def read_jsonl(path: Path, images: Path | None = None) -> Rows:
    """One row per line, as `midstream.data.rows` describes; an `images` column (TRL's style) fills the image parts.

    Args:
        path: the file.
        images: the folder that relative image paths start from; the file's own folder by default.

    Raises:
        InputError: the first line that is not a row.
    """
    root = images or path.parent
    records = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if line.strip():
            where = f"{path}:{number}"
            records.append(_located(_row_of_line(line, where), root))
    return Rows(_some(records, path), lambda row: row, str(path))


def _row_of_line(line: str, where: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON ({error.msg} at column {error.colno})") from None
    if isinstance(row, dict) and row.get("images") is not None:
        row = fill_images(row, row.pop("images"), where)
    return check_row(row, where)


def _located(row: Row, root: Path) -> Row:
    """The row with relative image paths made to start from `root`."""
    for message in row["messages"]:
        if isinstance(message["content"], list):
            for part in message["content"]:
                if part["type"] != "text" and isinstance(part[part["type"]], str):
                    part[part["type"]] = str(root / part[part["type"]])
    return row


def read_llava(path: Path, images: Path) -> Rows:
    """LLaVA conversations: `[{"id", "image"?, "conversations": [{"from": "human" | "gpt", "value"}]}]`.

    The marker `<image>` in a human turn says where the picture stands; a row without `image` is text only.

    Raises:
        InputError: the first bad entry.
    """
    entries = _list(_json(path), str(path))
    return Rows([_llava_row(entry, images, f"{path}[{i}]") for i, entry in enumerate(entries)], dict, str(path))


def _llava_row(entry: Any, images: Path, where: str) -> Row:
    entry = _fields(entry, where, conversations=list)
    messages = []
    slots = 0
    for number, turn in enumerate(entry["conversations"]):
        turn = _fields(turn, f"{where}.conversations[{number}]", **{"from": str, "value": str})
        role = {"human": "user", "gpt": "assistant", "system": "system"}.get(turn["from"])
        if role is None:
            raise InputError(
                f"{where}.conversations[{number}].from is {turn['from']!r}; it must be human, gpt or system"
            )
        content: list[dict[str, Any]] = []
        for piece, text in enumerate(turn["value"].split("<image>")):
            if piece:
                slots += 1
                content.append({"type": "image", "image": str(images / str(entry.get("image")))})
            if text.strip():
                content.append({"type": "text", "text": text.strip("\n")})
        messages.append({"role": role, "content": content})
    if slots != ("image" in entry):
        raise InputError(f"{where}: {slots} <image> markers for {int('image' in entry)} images in field `image`")
    return check_row({"id": str(entry.get("id", where)), "messages": messages}, where)


def read_vqav2(root: Path, split: str) -> Rows:
    """VQAv2 as its site ships it: questions, annotations and COCO's image folder under `root`.

    Args:
        root: holds `v2_OpenEnded_mscoco_{split}2014_questions.json`, `v2_mscoco_{split}2014_annotations.json` and
            `{split}2014/COCO_{split}2014_{image_id:012d}.jpg`.
        split: `train` or `val`.

    Raises:
        InputError: a file is missing, or the first bad entry.
    """
    name = f"{split}2014"
    asked = root / f"v2_OpenEnded_mscoco_{name}_questions.json"
    answered = root / f"v2_mscoco_{name}_annotations.json"
    questions: dict[int, Any] = {}
    for i, entry in enumerate(
        _list(_fields(_json(asked), str(asked), questions=list)["questions"], f"{asked}.questions")
    ):
        entry = _fields(entry, f"{asked}.questions[{i}]", question_id=int, image_id=int, question=str)
        questions[entry["question_id"]] = entry
    records = []
    for i, entry in enumerate(_fields(_json(answered), str(answered), annotations=list)["annotations"]):
        where = f"{answered}.annotations[{i}]"
        entry = _fields(entry, where, question_id=int, multiple_choice_answer=str, answers=list)
        question = questions.get(entry["question_id"])
        if question is None:
            raise InputError(f"{where}.question_id is {entry['question_id']}, which {asked.name} does not ask")
        answers = [_fields(a, f"{where}.answers[{k}]", answer=str)["answer"] for k, a in enumerate(entry["answers"])]
        image = root / name / f"COCO_{name}_{question['image_id']:012d}.jpg"
        records.append((question, entry, answers, str(image)))
    return Rows(_some(records, answered), _vqav2_row, f"VQAv2 {split}")


def _vqav2_row(record: tuple[dict[str, Any], dict[str, Any], list[str], str]) -> Row:
    question, annotation, answers, image = record
    return {
        "id": str(question["question_id"]),
        "messages": _one_turn(image, question["question"], annotation["multiple_choice_answer"]),
        "types": [annotation.get("answer_type", "all")],
        "answers": [answers],
    }


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
    content = _fields(_json(path), str(path), images=list, annotations=list)
    files: dict[int, str] = {}
    for i, entry in enumerate(content["images"]):
        entry = _fields(entry, f"{path}.images[{i}]", id=int, file_name=str)
        files[entry["id"]] = str(root / name / entry["file_name"])
    captions: dict[int, list[str]] = {}
    for i, entry in enumerate(content["annotations"]):
        entry = _fields(entry, f"{path}.annotations[{i}]", image_id=int, caption=str)
        if entry["image_id"] not in files:
            raise InputError(
                f"{path}.annotations[{i}].image_id is {entry['image_id']}, which field `images` does not list"
            )
        captions.setdefault(entry["image_id"], []).append(entry["caption"].strip())

    def row(record: tuple[int, list[str]]) -> Row:
        image, texts = record
        return {"id": str(image), "messages": _one_turn(files[image], request, texts[0]), "answers": [texts]}

    return Rows(_some(list(captions.items()), path), row, f"COCO captions {name}")


def _one_turn(image: Any, question: str, answer: str) -> list[dict[str, Any]]:
    asked = [{"type": "image", "image": image}, {"type": "text", "text": question}]
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path} cannot be read ({reason}); check the paths in the recipe's `data`") from None


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON ({error.msg} at column {error.colno})") from None


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise InputError(f"{where} must be a list with at least one entry")
    return value


def _some(records: list[Any], path: Path) -> list[Any]:
    if not records:
        raise InputError(f"{path} holds no rows")
    return records


def _fields(entry: Any, where: str, **wanted: type) -> Mapping[str, Any]:
    """The entry, if it is an object whose fields have the wanted types."""
    if not isinstance(entry, dict):
        raise InputError(f"{where} must be an object, not {type(entry).__name__}")
    for field, kind in wanted.items():
        if not isinstance(entry.get(field), kind):
            found = "missing" if field not in entry else f"{type(entry[field]).__name__}"
            raise InputError(f"{where}: field `{field}` must be {kind.__name__}, but it is {found}")
    return entry
