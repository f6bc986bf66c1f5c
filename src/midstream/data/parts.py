"""A message's media as people write them, brought to one spelling. Opens no file; decodes base64, nothing else.

{"type": "image", "image": SOURCE}                                       ours, and any other modality's name
{"type": "image"} and a column "images" (or audios, videos)              TRL
{"type": "image", "url" | "path" | "base64": ...}                        Transformers' chat templates
{"type": "image_url", "image_url": {"url": "data:image/png;base64,.."}}  OpenAI, chat completions; also video_url
{"type": "input_audio", "input_audio": {"data": "..", "format": "wav"}}  OpenAI
{"type": "input_text" | "input_image" | "output_text", ...}              OpenAI, responses
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from midstream.data.rows import Row, check_row
from midstream.errors import InputError

Part = dict[str, Any]

FILES = ("image", "audio", "video", "series")
"""Media whose sources, as text, are paths."""
NOTATIONS = ("molecule", "table")
"""Media whose sources, as text, are the thing itself: SMILES, a row."""
COLUMNS = {"images": "image", "audios": "audio", "videos": "video"}
"""TRL's columns beside `messages`, and the parts that they fill."""
TEXTS = ("input_text", "output_text")
LINKS = {"image_url": "image", "input_image": "image", "audio_url": "audio", "video_url": "video"}
"""OpenAI's part types that carry a URL under `{medium}_url`."""


def read_row(entry: Any, where: str, root: Path | None = None) -> Row:
    """A row from JSON or Arrow: in our spelling, media columns put into their parts, checked.

    Args:
        entry: anything.
        where: file and line (or index), for messages.
        root: the folder that relative paths start from; None leaves them.

    Raises:
        InputError: names the place, the field and what was expected.
    """
    if isinstance(entry, dict):
        entry = _spelled(entry, where)
        for column, kind in COLUMNS.items():
            if entry.get(column) is not None and entry.get("messages"):
                entry = fill(entry, kind, entry.pop(column), where, column)
    row = check_row(entry, where)
    return row if root is None else located(row, root)


def fill(row: Row, kind: str, sources: Any, where: str, column: str) -> Row:
    """Put a column's media into the parts of that kind that name none, in order.

    Raises:
        InputError: more or fewer such parts than media.
    """
    if not isinstance(sources, list):
        sources = [sources]
    waiting = [part for part in _parts(row) if part.get("type") == kind and part.get(kind) is None]
    if len(waiting) != len(sources):
        raise InputError(
            f"{where}: field `{column}` has {len(sources)} {column} for {len(waiting)} {kind} parts without one; "
            f"give as many as there are {{'type': '{kind}'}} parts"
        )
    for number, (part, source) in enumerate(zip(waiting, sources, strict=True)):
        part[kind] = _inline(source, f"{where}: field `{column}[{number}]`")
    return row


def located(row: Row, root: Path) -> Row:
    """The row with relative paths made to start from `root`.

    SMILES and tables are no paths. What a modality of the user's own is given is one if such a file is there.
    """
    for part in _parts(row):
        kind = part["type"]
        if kind == "text":
            continue
        source = part[kind]
        if isinstance(source, str):
            part[kind] = _from(root, source, kind)
        elif isinstance(source, dict) and isinstance(source.get("path"), str):
            part[kind] = {**source, "path": _from(root, source["path"], kind)}
    return row


def _from(root: Path, source: str, kind: str) -> str:
    if kind in NOTATIONS or "\0" in source:
        return source
    path = root / source
    return str(path) if kind in FILES or path.exists() else source


def _parts(row: Row) -> list[Part]:
    """The parts of all messages, of a row that may still be anything."""
    messages = row.get("messages")
    contents = [m.get("content") for m in messages if isinstance(m, dict)] if isinstance(messages, list) else []
    return [part for content in contents if isinstance(content, list) for part in content if isinstance(part, dict)]


def _spelled(row: Row, where: str) -> Row:
    """The row with parts in our spelling; what is no part is left for the check that names it."""
    if not isinstance(row.get("messages"), list):
        return row
    messages = []
    for index, message in enumerate(row["messages"]):
        if isinstance(message, dict) and isinstance(message.get("content"), list):
            at = f"{where}: field `messages[{index}].content"
            content = [
                _part(part, f"{at}[{number}]`") if isinstance(part, dict) else part
                for number, part in enumerate(message["content"])
            ]
            message = {**message, "content": content}
        messages.append(message)
    return {**row, "messages": messages}


def _part(part: Part, where: str) -> Part:
    kind = part.get("type")
    if not isinstance(kind, str) or kind == "text":
        return part
    if kind in TEXTS:
        return {"type": "text", "text": part.get("text")}
    if kind in LINKS:
        medium = LINKS[kind]
        link = part.get(f"{medium}_url")
        link = link.get("url") if isinstance(link, dict) else link
        if not isinstance(link, str):
            raise InputError(f"{where} is of type {kind!r} but has no {medium}_url with a `url`")
        return {"type": medium, medium: _inline(link, where)}
    if kind == "input_audio":
        sound = part.get("input_audio")
        if not isinstance(sound, dict) or not isinstance(sound.get("data"), str):
            raise InputError(f"{where} is of type 'input_audio' but has no input_audio with base64 `data`")
        return {"type": "audio", "audio": _base64(sound["data"], where)}
    if part.get(kind) is not None:
        return {**part, kind: _inline(part[kind], where)}
    for key, read in OTHER_KEYS.items():
        if isinstance(part.get(key), str):
            return {"type": kind, kind: read(part[key], where)}
    return part


def _inline(source: Any, where: str) -> Any:
    """Bytes of a `data:` URL, the path of a `file:` URL; anything else as it is.

    Raises:
        InputError: a URL of the network, or one that cannot be read.
    """
    if not isinstance(source, str):
        return source
    start = source[:8].lower()
    if start.startswith(("http://", "https://")):
        raise InputError(f"{where} is the URL {source[:80]}; nothing is downloaded: save the file and give its path")
    if start.startswith("file:"):
        return url2pathname(urlsplit(source).path)
    if not start.startswith("data:"):
        return source
    head, comma, content = source.partition(",")
    if not comma:
        raise InputError(f"{where} is a data: URL without a comma before its content")
    return _base64(content, where) if head.lower().endswith(";base64") else unquote_to_bytes(content)


def _base64(text: str, where: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{where} is not base64 ({error}); encode the file's bytes") from None


OTHER_KEYS: dict[str, Callable[[str, str], Any]] = {
    "url": _inline,
    "path": lambda source, where: source,
    "base64": _base64,
}
"""Where Transformers' chat templates look for a medium that is not under its own name."""


def one_turn(media: Sequence[tuple[str, Any]], question: str, answer: str) -> list[dict[str, Any]]:
    """Messages of one question about some media, and its answer.

    Args:
        media: modality and source of each, in order.
    """
    shown: list[Part] = [{"type": kind, kind: source} for kind, source in media]
    asked = [*shown, {"type": "text", "text": question}]
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
