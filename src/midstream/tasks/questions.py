"""Rows cut into single questions, and the controls: the same questions with the picture told, taken away or exchanged.

Pure data: no model, no tensors.
"""

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from midstream.data.identity import content_of, file_bytes
from midstream.data.rows import Row, text_of
from midstream.errors import InputError

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a model.

    Args:
        messages: the conversation up to and with the question.
        references: accepted answers.
        kind: for accuracy by type.
        description: the pictures in words, where they are known.
    """

    messages: tuple[Message, ...]
    references: tuple[str, ...]
    kind: str = "all"
    description: str | None = None


def questions_of(row: Row, history: bool = False) -> list[Question]:
    """One question per assistant turn.

    Args:
        row: see `midstream.data.rows`.
        history: keep the turns before, with their true answers. Without it, each question stands alone with the media
            that were shown up to it, so that nothing can be read off earlier answers.
    """
    found: list[Question] = []
    messages = row["messages"]
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            turn = len(found)
            references = tuple((row.get("answers") or {turn: [text_of(message["content"])]})[turn])
            kind = row["types"][turn] if row.get("types") else "all"
            prompt = messages[:index] if history else _alone(messages[:index])
            found.append(Question(tuple(prompt), references, kind, row.get("description")))
    return found


def _alone(messages: Sequence[Message]) -> list[Message]:
    """System messages and the last user message, with the media of all earlier ones in front of it."""
    *earlier, last = messages
    shown = [part for message in earlier if message["role"] == "user" for part in _media(message["content"])]
    content = shown + _parts(last["content"]) if shown else last["content"]
    return [message for message in earlier if message["role"] == "system"] + [{**last, "content": content}]


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _media(content: Any) -> list[dict[str, Any]]:
    return [part for part in _parts(content) if part["type"] != "text"]


def _with_parts(question: Question, change: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> Question:
    """The question with every media part replaced by what `change` makes of it."""
    messages = []
    for message in question.messages:
        parts = _parts(message["content"])
        parts = [new for part in parts for new in ([part] if part["type"] == "text" else change(part))]
        messages.append({**message, "content": parts})
    return replace(question, messages=tuple(messages))


def blind(question: Question) -> Question:
    """Without its media: what the language model guesses from the question alone."""
    return _with_parts(question, lambda part: [])


def described(question: Question) -> Question:
    """The description stands where the picture stood: the ceiling of what eyes could add to this language model.

    Raises:
        InputError: the question's row has no description.
    """
    if question.description is None:
        raise InputError("a row without a `description` has no ceiling")
    told = {"role": "system", "content": question.description}
    return replace(question, messages=(told, *blind(question).messages))


def shuffled(questions: Sequence[Question], seed: int = 0) -> list[Question] | None:
    """Every medium is exchanged for another one of the same type: a cycle over the distinct ones, so none stays.

    Returns:
        None where some type has one medium only, which leaves nothing to exchange it for.
    """
    by_type: dict[str, dict[str, Any]] = {}
    for question in questions:
        for part in (part for message in question.messages for part in _media(message["content"])):
            by_type.setdefault(part["type"], {}).setdefault(identity(part[part["type"]]), part)
    following: dict[tuple[str, str], dict[str, Any]] = {}
    for kind, media in by_type.items():
        if len(media) < 2:
            return None
        keys = random.Random(seed).sample(sorted(media), len(media))
        following |= {(kind, key): media[after] for key, after in zip(keys, keys[1:] + keys[:1], strict=True)}
    return [
        _with_parts(question, lambda part: [following[part["type"], identity(part[part["type"]])]])
        for question in questions
    ]


def identity(medium: Any) -> str:
    """Equal media have equal identities: a hash of a file's bytes, of a picture's mode, size and pixels, of values."""
    if isinstance(medium, str | Path):
        content = file_bytes(medium)
        medium = str(medium).encode() if content is None else content
    if isinstance(medium, Image.Image):
        medium = f"{medium.mode}{medium.size}".encode() + medium.tobytes()
    return hashlib.sha256(medium).hexdigest() if isinstance(medium, bytes) else content_of(medium)


def data_hash(questions: Iterable[Question]) -> str:
    """A hash of everything that is asked, shown and accepted, in order."""
    total = hashlib.sha256()
    for question in questions:
        for message in question.messages:
            total.update(f"{message['role']}\0{text_of(message['content'])}\0".encode())
            for part in _media(message["content"]):
                total.update(identity(part[part["type"]]).encode())
        total.update("\0".join((*question.references, question.kind, question.description or "")).encode())
    return total.hexdigest()[:16]
