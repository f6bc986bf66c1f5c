"""VQAv2, as its site ships it."""

from pathlib import Path
from typing import Any

from midstream.data.parts import one_turn
from midstream.data.reading import entries, fields, read_json, some
from midstream.data.rows import Row, Rows
from midstream.errors import InputError


def read_vqav2(root: Path, split: str) -> Rows:
    """Questions, annotations and COCO's image folder under `root`.

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
    listed = entries(fields(read_json(asked), str(asked), questions=list)["questions"], f"{asked}.questions")
    for i, entry in enumerate(listed):
        entry = fields(entry, f"{asked}.questions[{i}]", question_id=int, image_id=int, question=str)
        questions[entry["question_id"]] = entry
    records = []
    for i, entry in enumerate(fields(read_json(answered), str(answered), annotations=list)["annotations"]):
        where = f"{answered}.annotations[{i}]"
        entry = fields(entry, where, question_id=int, multiple_choice_answer=str, answers=list)
        question = questions.get(entry["question_id"])
        if question is None:
            raise InputError(f"{where}.question_id is {entry['question_id']}, which {asked.name} does not ask")
        answers = [fields(a, f"{where}.answers[{k}]", answer=str)["answer"] for k, a in enumerate(entry["answers"])]
        image = root / name / f"COCO_{name}_{question['image_id']:012d}.jpg"
        records.append((question, entry, answers, str(image)))
    return Rows(some(records, answered), _row, f"VQAv2 {split}")


def _row(record: tuple[dict[str, Any], dict[str, Any], list[str], str]) -> Row:
    question, annotation, answers, image = record
    return {
        "id": str(question["question_id"]),
        "messages": one_turn([("image", image)], question["question"], annotation["multiple_choice_answer"]),
        "types": [annotation.get("answer_type", "all")],
        "answers": [answers],
    }
