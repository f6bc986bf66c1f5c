"""AudioCaps: a table of captions per split, and a folder of ten-second clips named as people store them."""

import csv
import io
from pathlib import Path

from midstream.data.formats.captions import Captioned, MediaFolder, Missing, caption_rows
from midstream.data.reading import read_text, some
from midstream.data.rows import Rows
from midstream.errors import InputError

COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")
ENDINGS = (".wav", ".flac", ".mp3", ".ogg")
SECONDS = 10


def read_audiocaps(
    root: Path,
    split: str,
    request: str = "describe the sound.",
    missing: Missing = "stop",
    each: bool = True,
    audio: Path | None = None,
) -> Rows:
    """AudioCaps, as its repository ships it, beside clips that each user fetches.

    Args:
        root: holds `{split}.csv` with the columns audiocap_id, youtube_id, start_time, caption.
        split: `train`, `val` or `test`.
        request: what the user turn says.
        missing: what becomes of clips that are not there; many have left YouTube.
        each: a row for every caption, or one for every clip.
        audio: the folder of clips; by default the first of `audio/{split}`, `{split}`, `audio` under `root`. A clip is
            named by its YouTube id (alone, or followed by `_{start}`, `_{start}_{end}` in seconds or milliseconds, or
            with AudioSet's Y in front) or by its audiocap_id; `.wav`, `.flac`, `.mp3` or `.ogg`.

    Raises:
        InputError: a file is missing, or the first bad line.
    """
    path = root / f"{split}.csv"
    folders = [root / "audio" / split, root / split, root / "audio"] if audio is None else [audio / split, audio]
    clips = MediaFolder(folders, ENDINGS)
    lines: dict[tuple[str, int], list[tuple[int, str, str]]] = {}
    for number, number_id, video, start, caption in _lines(path):
        lines.setdefault((video, start), []).append((number, number_id, caption))
    media = []
    for (video, start), said in lines.items():
        names = [*_names(video, start), *(number_id for _, number_id, _ in said)]
        found = clips.find(names)
        captions = tuple(caption for _, _, caption in said)
        expected = found or clips.folder / f"{names[0]}.wav"
        media.append(Captioned(names[0], f"{path}:{said[0][0]}", expected, found is not None, captions))
    return caption_rows(some(media, path), "audio", request, missing, each, clips.folder, f"AudioCaps {split}")


def _names(video: str, start: int) -> list[str]:
    end = start + SECONDS
    spans = [f"_{start}", "", f"_{start}_{end}", f"_{start * 1000}_{end * 1000}"]
    return [prefix + video + span for prefix in ("", "Y") for span in spans]


def _lines(path: Path) -> list[tuple[int, str, str, int, str]]:
    """Line number, audiocap_id, youtube_id, start in seconds, caption."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    found = []
    try:
        for column in COLUMNS:
            if column not in (reader.fieldnames or ()):
                raise InputError(
                    f"{path}:1: column `{column}` is missing; the first line must name {','.join(COLUMNS)}"
                )
        for line in reader:
            where = f"{path}:{reader.line_num}"
            if line.get(None):
                raise InputError(f"{where}: more fields than columns; put a caption with a comma in quotes")
            for column in COLUMNS:
                if not (line[column] or "").strip():
                    raise InputError(f"{where}: field `{column}` is empty")
            start = _seconds(line["start_time"], where)
            found.append((reader.line_num, line["audiocap_id"], line["youtube_id"], start, line["caption"].strip()))
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num + 1}: not CSV ({error})") from None
    return found


def _seconds(text: str, where: str) -> int:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        raise InputError(f"{where}: field `start_time` is {text!r}; it must be seconds") from None
