"""LLaVA's conversations, with pictures, sounds or videos."""

import re
from pathlib import Path
from typing import Any

from midstream.data.reading import entries, fields, read_json
from midstream.data.rows import Row, Rows, check_row
from midstream.errors import InputError

ROLES = {"human": "user", "gpt": "assistant", "system": "system"}
MEDIA = ("image", "audio", "video")
MARKER = re.compile(f"<({'|'.join(MEDIA)})>")


def read_llava(path: Path, media: Path) -> Rows:
    """LLaVA conversations: `[{"id", "image"?, "conversations": [{"from": "human" | "gpt", "value"}]}]`.

    Markers such as `<image>` say where the media of the fields `image`, `audio` and `video` (a path, or a list of them)
    stand; a row without any is text only. In a row with a `video` and no `image`, `<image>` stands for the video, as in
    LLaVA-Video's own files.

    Args:
        path: the JSON file.
        media: the folder that paths start from.

    Raises:
        InputError: the first bad entry.
    """
    found = entries(read_json(path), str(path))
    return Rows([llava_row(entry, f"{path}[{i}]", media) for i, entry in enumerate(found)], dict, str(path))


def llava_row(entry: Any, where: str, media: Path | None = None) -> Row:
    """One conversation.

    Args:
        entry: anything.
        where: file and index, for messages.
        media: the folder that paths start from; None leaves them.

    Raises:
        InputError: names the place and the field.
    """
    entry = fields(entry, where, conversations=list)
    waiting = {kind: _sources(entry, kind, where, media) for kind in MEDIA}
    given = {kind: len(sources) for kind, sources in waiting.items()}
    marked = dict.fromkeys(MEDIA, 0)
    messages = []
    for number, turn in enumerate(entry["conversations"]):
        turn = fields(turn, f"{where}.conversations[{number}]", **{"from": str, "value": str})
        role = ROLES.get(turn["from"])
        if role is None:
            raise InputError(
                f"{where}.conversations[{number}].from is {turn['from']!r}; it must be human, gpt or system"
            )
        content: list[dict[str, Any]] = []
        for place, piece in enumerate(MARKER.split(turn["value"])):
            if place % 2:  # a marker; texts and markers take turns
                kind = "video" if piece == "image" and given["video"] and not given["image"] else piece
                marked[kind] += 1
                content.append({"type": kind, kind: waiting[kind].pop(0) if waiting[kind] else None})
            elif piece.strip():
                content.append({"type": "text", "text": piece.strip("\n")})
        messages.append({"role": role, "content": content})
    for kind in MEDIA:
        if marked[kind] != given[kind]:
            raise InputError(
                f"{where}: {marked[kind]} <{kind}> markers for {given[kind]} {kind}s in field `{kind}`; "
                f"write one for each"
            )
    return check_row({"id": str(entry.get("id", where)), "messages": messages}, where)


def _sources(entry: Any, kind: str, where: str, media: Path | None) -> list[Any]:
    value = entry.get(kind)
    found = [] if value is None else value if isinstance(value, list) else [value]
    if media is None:
        return list(found)
    for source in found:
        if not isinstance(source, str):
            raise InputError(f"{where}: field `{kind}` must be a path or a list of paths, not {type(source).__name__}")
    return [str(media / source) for source in found]
