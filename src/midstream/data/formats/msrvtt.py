"""MSR-VTT: videos and sentences in JSON, and the folders that its parts are unpacked to."""

from pathlib import Path
from typing import Any

from midstream.data.formats.captions import Captioned, MediaFolder, Missing, caption_rows
from midstream.data.reading import entries, fields, read_json
from midstream.data.rows import Rows
from midstream.errors import InputError

ANNOTATIONS = ("MSRVTT_data.json", "train_val_videodatainfo.json", "test_videodatainfo.json")
FOLDERS = ("videos/all", "videos", "TrainValVideo", "TestVideo", "all", "video", ".")
ENDINGS = (".mp4", ".webm", ".avi", ".mkv", ".gif")


def read_msrvtt(
    root: Path,
    split: str,
    request: str = "describe the video.",
    missing: Missing = "stop",
    each: bool = True,
) -> Rows:
    """MSR-VTT's `videos` (with their split) and `sentences`.

    Args:
        root: holds `MSRVTT_data.json`, or `train_val_videodatainfo.json` and `test_videodatainfo.json`, itself or in
            `annotation`; and `{video_id}.mp4` in `videos/all`, `videos`, `TrainValVideo` and `TestVideo`, `all`,
            `video` or beside them.
        split: `train`, `validate` or `test`, as the field `split` says.
        request: what the user turn says.
        missing: what becomes of videos that are not there.
        each: a row for every sentence, or one for every video.

    Raises:
        InputError: a file is missing, or the first bad entry.
    """
    paths = [
        path for folder in (root, root / "annotation") for name in ANNOTATIONS if (path := folder / name).is_file()
    ]
    if not paths:
        raise InputError(f"{root} holds none of {', '.join(ANNOTATIONS)}; check `root` in the recipe's `data`")
    files = MediaFolder([root / folder for folder in FOLDERS], ENDINGS)
    media: list[Captioned] = []
    known: set[str] = set()
    for path in paths:
        for where, name, captions in _videos(path, split):
            if name not in known:  # the whole and its parts may lie side by side
                found = files.find([name])
                expected = found or files.folder / f"{name}.mp4"
                media.append(Captioned(name, where, expected, found is not None, tuple(captions)))
        known |= {medium.name for medium in media}
    if not media:
        raise InputError(f"{paths[0]} and its like under {root} list no video of split {split!r}")
    return caption_rows(media, "video", request, missing, each, files.folder, f"MSR-VTT {split}")


def _videos(path: Path, split: str) -> list[tuple[str, str, list[str]]]:
    """Place, name and captions of the videos of a split."""
    content: Any = fields(read_json(path), str(path), videos=list, sentences=list)
    splits, places = {}, {}
    for i, entry in enumerate(entries(content["videos"], f"{path}.videos")):
        entry = fields(entry, f"{path}.videos[{i}]", video_id=str, split=str)
        splits[entry["video_id"]], places[entry["video_id"]] = entry["split"], f"{path}.videos[{i}]"
    captions: dict[str, list[str]] = {}
    for i, entry in enumerate(content["sentences"]):
        where = f"{path}.sentences[{i}]"
        entry = fields(entry, where, video_id=str, caption=str)
        if entry["video_id"] not in splits:
            raise InputError(f"{where}.video_id is {entry['video_id']!r}, which field `videos` does not list")
        if not entry["caption"].strip():
            raise InputError(f"{where}: field `caption` is empty")
        captions.setdefault(entry["video_id"], []).append(entry["caption"].strip())
    for name, kind in splits.items():
        if kind == split and name not in captions:
            raise InputError(f"{places[name]}.video_id is {name!r}, of which field `sentences` says nothing")
    return [(places[name], name, captions[name]) for name, kind in splits.items() if kind == split]
