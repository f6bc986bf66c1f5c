"""A few generated rows in the layout of every kind of data that a recipe can name."""

import csv
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from midstream import recipe as settings
from midstream.smoke.samples import FILES, label, sample

ROWS = 8
Media = Mapping[str, str]
"""Modality -> medium, of those that are given something."""


def write_data(data: "settings.Data", media: Media, folder: Path) -> dict[str, Any]:
    """Write training and validation rows of a recipe's kind of data.

    Args:
        data: the recipe's.
        media: the recipe's modalities.
        folder: where to.

    Returns:
        What is to be changed in the recipe's `data`.
    """
    if isinstance(data, settings.MixData):
        parts = []
        for number, part in enumerate(data.parts):
            changed = write_data(part.data, media, folder / str(number))
            parts.append({"data": part.data.model_dump(mode="json") | changed, "weight": part.weight})
        return {"parts": parts}
    return _WRITERS[data.kind](folder, data, media)


def _messages(media: Media, path: Path, index: int, inline: bool = True) -> list[dict[str, Any]]:
    """One question about a sample of every modality; with `inline` off, files are left for a column to fill."""
    parts: list[dict[str, Any]] = []
    for name, medium in media.items():
        part: dict[str, Any] = {"type": name}
        if inline or medium not in FILES:
            source = sample(medium, path, index)
            part[name] = Path(source).name if medium in FILES else source
        parts.append(part)
    parts.append({"type": "text", "text": "what colour is this?" if "image" in media else "what is this?"})
    answer = [{"type": "text", "text": label(index)}]
    return [{"role": "user", "content": parts}, {"role": "assistant", "content": answer}]


def _write(path: Path, content: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def _jsonl(root: Path, data: Any, media: Media) -> dict[str, Any]:
    files = {}
    for split in ("train", "validation"):
        lines = [json.dumps({"messages": _messages(media, root / f"{split}-{i}", i)}) + "\n" for i in range(ROWS)]
        path = root / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")
        files[split] = str(path)
    return {**files, "media": None, "images": None}


def _llava(root: Path, data: Any, media: Media) -> dict[str, Any]:
    shown = [name for name in media if name in FILES] or ["image"]
    files = {}
    for split in ("train", "validation"):
        rows = []
        for i in range(ROWS):
            paths = {name: sample(name, root / "media" / split / f"{i:09d}", i) for name in shown}
            asked = "".join(f"<{name}>\n" for name in shown) + "What color is this?"
            turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": f"It is {label(i)}."}]
            more = [{"from": "human", "value": "Are you sure?"}, {"from": "gpt", "value": "Yes."}]
            names = {name: f"{split}/{Path(path).name}" for name, path in paths.items()}
            rows.append({"id": f"{split}-{i}", **names, "conversations": turns + (more if i % 2 else [])})
        files[split] = _write(root / f"{split}.json", rows)
    return {**files, "media": str(root / "media"), "images": None}


def _vqav2(root: Path, data: Any, media: Media) -> dict[str, Any]:
    for split in ("train", "val"):
        name = f"{split}2014"
        questions, annotations = [], []
        for i in range(ROWS):
            sample("image", root / name / f"COCO_{name}_{i:012d}", i)
            keys = {"image_id": i, "question_id": 1000 + i}
            questions.append({**keys, "question": "What color is this?"})
            answers = [{"answer": label(i), "answer_confidence": "yes", "answer_id": k + 1} for k in range(10)]
            kinds = {"question_type": "what color is", "answer_type": "other"}
            annotations.append({**keys, **kinds, "multiple_choice_answer": label(i), "answers": answers})
        head = {"data_type": "mscoco", "data_subtype": name}
        _write(root / f"v2_OpenEnded_mscoco_{name}_questions.json", {**head, "questions": questions})
        _write(root / f"v2_mscoco_{name}_annotations.json", {**head, "annotations": annotations})
    return {"root": str(root)}


def _coco_captions(root: Path, data: Any, media: Media) -> dict[str, Any]:
    year = getattr(data, "year", 2017)
    for split in ("train", "val"):
        name = f"{split}{year}"
        images, annotations = [], []
        for i in range(ROWS):
            sample("image", root / name / f"{i:012d}", i)
            images.append({"id": i, "file_name": f"{i:012d}.jpg"})
            annotations += [{"id": 5 * i + k, "image_id": i, "caption": f"something {label(i)}"} for k in range(5)]
        _write(root / "annotations" / f"captions_{name}.json", {"images": images, "annotations": annotations})
    return {"root": str(root)}


def _audiocaps(root: Path, data: Any, media: Media) -> dict[str, Any]:
    for split, captions in (("train", 1), ("val", 5)):
        table = io.StringIO(newline="")
        writer = csv.writer(table)
        writer.writerow(["audiocap_id", "youtube_id", "start_time", "caption"])
        for i in range(ROWS):
            video, start = f"{split}_clip{i:02d}", 10 * i
            sample("audio", root / "audio" / split / f"{video}_{start}", i)
            writer.writerows([5 * i + k, video, start, f"A {label(i)} tone, then silence"] for k in range(captions))
        (root / f"{split}.csv").write_text(table.getvalue(), encoding="utf-8", newline="")
    return {"root": str(root), "audio": None}


def _msrvtt(root: Path, data: Any, media: Media) -> dict[str, Any]:
    videos, sentences = [], []
    for number in range(2 * ROWS):
        name, split = f"video{number}", "train" if number < ROWS else "validate"
        sample("video", root / "videos" / "all" / name, number)
        videos.append(
            {"video_id": name, "split": split, "category": 0, "start time": 0.0, "end time": 1.0, "id": number}
        )
        said = f"a {label(number)} square moves"
        sentences += [{"caption": said, "video_id": name, "sen_id": 2 * number + k} for k in range(2)]
    _write(root / "MSRVTT_data.json", {"info": {}, "videos": videos, "sentences": sentences})
    return {"root": str(root)}


def _entries(root: Path, media: Media, split: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Per row: messages, whose files are left out, and those files by modality."""
    found = []
    for i in range(ROWS):
        files = {n: sample(m, root / f"{split}-{i}", i) for n, m in media.items() if m in FILES}
        found.append(({"messages": _messages(media, root / f"{split}-{i}", i, inline=False)}, files))
    return found


def _datasets(root: Path, data: Any, media: Media) -> dict[str, Any]:
    import datasets

    kinds = {"image": datasets.Image, "audio": datasets.Audio, "video": datasets.Video}
    splits = {}
    for split in ("train", "validation"):
        rows = []
        for row, files in _entries(root / "files", media, split):
            columns = {f"{n}s": [{"bytes": Path(f).read_bytes(), "path": None}] for n, f in files.items()}
            rows.append({**row, **columns})
        table = datasets.Dataset.from_list(rows)
        for name, medium in media.items():
            if medium in FILES:
                table = table.cast_column(f"{name}s", datasets.List(kinds[medium](decode=False)))
        splits[split] = table
    datasets.DatasetDict(splits).save_to_disk(str(root / "saved"))
    renamed = {f"{name}s": name for name, medium in media.items() if medium in FILES and name != medium}
    return {"path": str(root / "saved"), "name": None, "question": None, "answer": None, "media": renamed}


def _webdataset(root: Path, data: Any, media: Media) -> dict[str, Any]:
    files, renamed = {}, {}
    for split in ("train", "validation"):
        path = root / f"{split}-000.tar"
        rows = _entries(root / "files", media, split)
        with tarfile.open(path, "w") as tar:
            for i, (row, sources) in enumerate(rows):
                members = {Path(source).suffix: Path(source).read_bytes() for source in sources.values()}
                for ending, content in {**members, ".json": json.dumps(row).encode()}.items():
                    member = tarfile.TarInfo(f"{i:04d}{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        files[split] = str(path)
        renamed = {Path(file).suffix[1:]: name for name, file in rows[0][1].items() if name != media[name]}
    return {**files, "question": None, "answer": None, "media": renamed}


_WRITERS: dict[str, Callable[[Path, Any, Media], dict[str, Any]]] = {
    "pocket": lambda root, data, media: {"scenes": ROWS, "questions": 2},
    "jsonl": _jsonl,
    "llava": _llava,
    "vqav2": _vqav2,
    "coco_captions": _coco_captions,
    "audiocaps": _audiocaps,
    "msrvtt": _msrvtt,
    "datasets": _datasets,
    "webdataset": _webdataset,
}
