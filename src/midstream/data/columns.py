"""Rows from columns: the entries of tables and of shards, whose fields may be called anything. Opens no medium.

What the columns are is told by what they hold: `messages` (with `images`, `audios`, `videos`), or LLaVA's
`conversations`, or else media beside a question and an answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from midstream.data.formats.llava import llava_row
from midstream.data.parts import COLUMNS, one_turn, read_row
from midstream.data.rows import Row, check_row
from midstream.errors import InputError

QUESTIONS = ("question", "prompt", "instruction", "query")
ANSWERS = ("answer", "answers", "caption", "captions", "text", "txt", "label")
THINGS = {"image": "picture", "audio": "sound"}
"""What a medium is called in a request, where that is not its name."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns are what; see the settings of the same names in `midstream.recipe.data`.

    Args:
        question: the column of questions; by default the first of `QUESTIONS` that is there.
        answer: the column of answers; by default the first of `ANSWERS`.
        media: column -> modality, for those that the data do not tell.
        request: what is asked where there is no question; by default to describe what is shown.
    """

    question: str | None = None
    answer: str | None = None
    media: Mapping[str, str] = field(default_factory=dict)
    request: str | None = None


def row_of(entry: Mapping[str, Any], columns: Columns, media: Mapping[str, str], where: str) -> Row:
    """One row.

    Args:
        entry: column -> value; media as `midstream.media` reads them.
        columns: what the recipe says.
        media: column -> modality, as the data tell.
        where: file and index, for messages.

    Raises:
        InputError: names the place, the field and what was expected.
    """
    media = {**media, **columns.media}
    for column in columns.media:
        if column not in entry:
            raise InputError(f"{where}: there is no column `{column}`; {_there(entry)}")
    shown = [(kind, source) for column, kind in media.items() if (source := entry.get(column)) is not None]
    texts = {column: value for column, value in entry.items() if column not in media}
    if "messages" in texts:
        return _with_messages(texts, shown, where)
    if "conversations" in texts:
        by_kind: dict[str, Any] = {}
        for kind, source in shown:
            by_kind.setdefault(kind, []).extend(source if _several(kind, source) else [source])
        return llava_row({**texts, **by_kind}, where)
    question = _text(texts, columns.question, QUESTIONS, where)
    answers = _answers(texts, columns.answer, where)
    flat = [(kind, item) for kind, value in shown for item in (value if _several(kind, value) else [value])]
    asked = question or columns.request or f"describe the {_thing(flat)}."
    row = {"id": str(entry.get("id", where)), "messages": one_turn(flat, asked, answers[0]), "answers": [answers]}
    return check_row(row, where)


def _with_messages(texts: dict[str, Any], shown: Sequence[tuple[str, Any]], where: str) -> Row:
    """Media columns become TRL's, which fill the parts that name none."""
    row = dict(texts)
    plural = {kind: column for column, kind in COLUMNS.items()}
    for kind in dict.fromkeys(kind for kind, _ in shown):
        found = [item for k, v in shown if k == kind for item in (v if _several(kind, v) else [v])]
        row[plural.get(kind, kind)] = found
    return read_row({"id": where, **row}, where)


def _several(kind: str, value: Any) -> bool:
    """Whether a column's value is a list of media: only files come in lists, a series is a list itself."""
    return kind in COLUMNS.values() and isinstance(value, list)


def _thing(media: Sequence[tuple[str, Any]]) -> str:
    return THINGS.get(media[0][0], media[0][0]) if media else "subject"


def _text(texts: Mapping[str, Any], named: str | None, usual: Sequence[str], where: str) -> str | None:
    column = named or next((name for name in usual if texts.get(name) is not None), None)
    if column is None:
        return None
    if not isinstance(texts.get(column), str):
        raise InputError(f"{where}: column `{column}` must be text, not {type(texts.get(column)).__name__}")
    return str(texts[column])


def _answers(texts: Mapping[str, Any], named: str | None, where: str) -> list[str]:
    column = named or next((name for name in ANSWERS if texts.get(name) is not None), None)
    if column is None or texts.get(column) is None:
        missing = f"`{named}`" if named else f"with an answer (looked for {', '.join(ANSWERS)}; name it as `answer`)"
        raise InputError(f"{where}: there is no column {missing}; {_there(texts)}")
    value = texts[column]
    found = value if isinstance(value, list) else [value]
    said = [str(answer.get("answer")) if isinstance(answer, dict) else str(answer) for answer in found]
    if not said or not all(answer.strip() for answer in said):
        raise InputError(f"{where}: column `{column}` must say something, but an answer in it is empty")
    return [answer.strip() for answer in said]


def _there(entry: Mapping[str, Any]) -> str:
    return f"there are {', '.join(sorted(map(str, entry)))}"
