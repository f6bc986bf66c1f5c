"""What the captioning layouts share: captions grouped by medium, and the folder where media lie under known names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from midstream.data.parts import one_turn
from midstream.data.rows import Row, Rows
from midstream.errors import InputError

Missing: TypeAlias = Literal["stop", "leave_out", "keep"]
"""What to do when a listed medium is not there: refuse, leave it out, or keep the row (evaluation counts it as bad)."""


@dataclass(frozen=True, slots=True)
class Captioned:
    """A medium and what people said about it.

    Args:
        name: the data set's own.
        where: file and line (or index) that lists it first, for messages.
        path: where it lies, or would lie.
        found: whether it is there.
        captions: at least one.
    """

    name: str
    where: str
    path: Path
    found: bool
    captions: tuple[str, ...]


class MediaFolder:
    """Files by their names without endings, from the first of some folders that has them.

    Args:
        folders: in order of preference; those that do not exist are passed over.
        endings: that count, lower case, with the dot.
    """

    def __init__(self, folders: Sequence[Path], endings: Sequence[str]) -> None:
        there = [folder for folder in folders if folder.is_dir()]
        self.folder = there[0] if there else folders[0]
        self._found: dict[str, Path] = {}
        for folder in there:
            for path in sorted(folder.iterdir()):
                if path.suffix.lower() in endings:
                    self._found.setdefault(path.name[: -len(path.suffix)], path)

    def find(self, names: Iterable[str]) -> Path | None:
        """The file that has the first of the names that any has."""
        return next((self._found[name] for name in names if name in self._found), None)


def caption_rows(
    media: Sequence[Captioned], kind: str, request: str, missing: Missing, each: bool, folder: Path, name: str
) -> Rows:
    """Rows that ask for a caption.

    Args:
        media: all that the annotations list.
        kind: modality.
        request: what the user turn says.
        missing: what becomes of media that are not there.
        each: a row for every caption; otherwise one for every medium, with its first caption to learn. Both keep all
            captions to be compared with.
        folder: where media were looked for, for messages.
        name: of the data.

    Raises:
        InputError: media are missing and `missing` says stop, or none is there.
    """
    absent = [medium for medium in media if not medium.found]
    if absent and (missing == "stop" or len(absent) == len(media)):
        first = absent[0]
        remedy = "; fetch them, or train without them by `missing: leave_out`" if len(absent) < len(media) else ""
        raise InputError(
            f"{first.where}: there is no {first.path.name}, under any of its usual names, in {folder}, and "
            f"{len(absent):,} of {len(media):,} files in all are missing there{remedy or '; check the folder'}"
        )
    kept = [medium for medium in media if medium.found or missing == "keep"]
    turns = range if each else (lambda count: range(1))
    records = [(medium, turn) for medium in kept for turn in turns(len(medium.captions))]
    plain = [(medium.name, str(medium.path), list(medium.captions), turn) for medium, turn in records]

    def row(record: tuple[str, str, list[str], int]) -> Row:
        label, path, captions, turn = record
        messages = one_turn([(kind, path)], request, captions[turn])
        return {"id": label, "messages": messages, "answers": [captions]}

    left_out = f", without {len(absent):,} files that are missing" if len(kept) < len(media) else ""
    return Rows(plain, row, name + left_out)
