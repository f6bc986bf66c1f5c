"""What a row is, and the check that every format's rows pass. Knows no file format, no model and no tensor.

A row is a conversation, in the style that TRL and the OpenAI API share::

    {"messages": [{"role": "user", "content": [{"type": "image", "image": <path | bytes | PIL | ...>},
                                               {"type": "text", "text": "what colour is the square?"}]},
                  {"role": "assistant", "content": "red"}],
     "types": ["colour"],              optional: a word per assistant turn, for accuracy by type
     "answers": [["red", "dark red"]], optional: accepted answers per assistant turn
     "description": "a red square.",   optional: the media in words, for the ceiling without eyes
     "id": "..."}                      optional

A part's type is the name of a modality, and what stands under that name is what `midstream.media` reads for its medium.
Media stay paths until a model asks for them, so a data set of any size is a list of small records.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar, overload

from midstream.errors import InputError

Row: TypeAlias = dict[str, Any]
ROLES = ("system", "user", "assistant")


class Rows(Sequence[Row]):
    """Rows made on demand from small records.

    Args:
        records: what each row is made from; kept in memory.
        make: record -> row. A pure function: the same index always gives the same row.
        name: what people call this data in messages.
        version: what tells this data from another of the same records, where records are no more than numbers.
        parts: the rows that these are made from, if they are a mix.
    """

    def __init__(
        self,
        records: Sequence[Any],
        make: Callable[[Any], Row],
        name: str,
        version: str = "",
        parts: Sequence["Rows"] = (),
    ) -> None:
        self.records = records
        self._make = make
        self.name = name
        self.version = version
        self.parts = parts

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> "Rows": ...
    def __getitem__(self, index: int | slice) -> "Row | Rows":
        if isinstance(index, slice):
            return Rows(self.records[index], self._make, self.name, self.version, self.parts)
        return self._make(self.records[index])

    def __iter__(self) -> Iterator[Row]:
        return (self._make(record) for record in self.records)


def text_of(content: Any) -> str:
    """The text parts of a message's content, joined."""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def media_of(row: Row) -> list[Any]:
    """The media of a row, in order: paths, bytes, pictures, arrays or what else a modality takes."""
    found = []
    for message in row["messages"]:
        if not isinstance(message["content"], str):
            found += [part[part["type"]] for part in message["content"] if part["type"] != "text"]
    return found


def check_row(row: Any, where: str) -> Row:
    """Return the row if it is one.

    Args:
        row: anything.
        where: file and line (or index), for the message.

    Raises:
        InputError: names the place, the field and what was expected.
    """
    if not isinstance(row, dict):
        raise InputError(f"{where}: a row must be an object with `messages`, not {_kind(row)}")
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InputError(f"{where}: field `messages` must be a list with at least one message, not {_kind(messages)}")
    for index, message in enumerate(messages):
        _check_message(message, f"{where}: field `messages[{index}]`")
    roles = [message["role"] for message in messages]
    for index, (before, role) in enumerate(zip([None, *roles], roles, strict=False)):
        if role == "assistant" and before != "user":
            raise InputError(f"{where}: field `messages[{index}]` is an assistant turn that no user turn stands before")
    turns = roles.count("assistant")
    if not turns:
        raise InputError(f"{where}: field `messages` has no assistant turn, so there is no answer to learn or to check")
    for field in ("types", "answers"):
        if row.get(field) is not None:
            _check_turns(row[field], turns, f"{where}: field `{field}`", list if field == "answers" else str)
    return row


def _check_turns(value: Any, turns: int, where: str, kind: type) -> None:
    if not isinstance(value, list):
        raise InputError(f"{where} must be a list with an entry for each assistant turn, not {_kind(value)}")
    if len(value) != turns:
        raise InputError(f"{where} has {len(value)} entries for {turns} assistant turns")
    for number, entry in enumerate(value):
        texts = entry if kind is list else [entry]
        if not isinstance(entry, kind) or not texts or not all(isinstance(text, str) for text in texts):
            wanted = "a list of accepted answers" if kind is list else "a word"
            raise InputError(f"{where}[{number}] must be {wanted}, not {_kind(entry)}")


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, dict):
        raise InputError(f"{where} must be an object with `role` and `content`, not {_kind(message)}")
    if message.get("role") not in ROLES:
        raise InputError(f"{where}.role is {message.get('role')!r}; it must be one of {', '.join(ROLES)}")
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list) or not content:
        raise InputError(f"{where}.content must be text or a list of parts, not {_kind(content)}")
    for number, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise InputError(f"{where}.content[{number}] must be an object with a `type`, not {_kind(part)}")
        if part.get(part["type"]) is None:
            raise InputError(f"{where}.content[{number}] is of type {part['type']!r} but has no `{part['type']}`")
        if part["type"] == "text" and not isinstance(part["text"], str):
            raise InputError(f"{where}.content[{number}].text must be text, not {_kind(part['text'])}")
    if message["role"] != "system" and not text_of(content).strip():
        raise InputError(f"{where}.content has no text: a {message['role']} turn must say something")


def _kind(value: Any) -> str:
    empty = isinstance(value, list | dict | str) and not value
    return "missing" if value is None else "empty" if empty else type(value).__name__


Batch = TypeVar("Batch")


def naming(prepare: Callable[[Sequence[Row]], Batch]) -> Callable[[Sequence[Row]], Batch]:
    """The same, and where a batch cannot be prepared the message begins with the `id` of the row that is to blame.

    Args:
        prepare: rows -> batch; it raises InputError, whose message may know no more than "the given bytes".
    """

    def prepared(rows: Sequence[Row]) -> Batch:
        try:
            return prepare(rows)
        except InputError:
            for row in rows:
                try:
                    prepare([row])
                except InputError as reason:
                    if "id" not in row:
                        raise
                    raise InputError(f"{row['id']}: {reason}") from None
            raise

    return prepared
