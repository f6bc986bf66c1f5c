"""JSON lines of messages, in our spelling, OpenAI's or TRL's (see `midstream.data.parts`)."""

from collections.abc import Iterator
from pathlib import Path

from midstream.data.parts import read_row
from midstream.data.reading import parse_json, read_text, some
from midstream.data.rows import Row, Rows
from midstream.errors import InputError


def read_jsonl(path: Path, media: Path | None = None) -> Rows:
    """One row per line, as `midstream.data.rows` describes.

    Args:
        path: the file.
        media: the folder that relative paths of media start from; the file's own folder by default.

    Raises:
        InputError: the first line that is not a row.
    """
    lines = enumerate(read_text(path).split("\n"), start=1)
    records = [row_of_line(number, line, path, media) for number, line in lines if line.strip()]
    return Rows(some(records, path), lambda row: row, str(path))


def row_of_line(number: int, line: str, path: Path, media: Path | None = None) -> Row:
    """The row of one line.

    Raises:
        InputError: names file, line and field.
    """
    where = f"{path}:{number}"
    return read_row(parse_json(line, where), where, media or path.parent)


def lines_of(path: str) -> Iterator[dict[str, int | str]]:
    """The lines of a file with their numbers, one after the other, for files that memory does not hold.

    Raises:
        InputError: the file cannot be read, or a line is not UTF-8.
    """
    number = 0
    try:
        with Path(path).open(encoding="utf-8-sig", newline="\n") as file:
            for line in file:
                number += 1
                if line.strip():
                    yield {"number": number, "line": line}
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text after line {number}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the paths in the recipe's `data`") from None
