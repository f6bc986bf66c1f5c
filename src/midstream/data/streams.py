"""Rows that come one after the other, for data that are too many to be counted or kept. Knows no format."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from typing import Any

from torch.utils.data import IterableDataset

from midstream.data.rows import Row, Rows
from midstream.errors import InputError


class Stream(IterableDataset[Row]):
    """Rows without end: pass after pass through the data. What a training takes of them is given by its steps.

    It has no length, and no row has a number, so nothing can be cached of it. The same rows come in the same order
    every time, and an interrupted run skips those it has seen.

    Args:
        entries: the number of a pass -> what its rows are made from, in order. A pure function.
        make: entry -> row.
        name: what people call this data in messages.
    """

    def __init__(self, entries: Callable[[int], Iterator[Any]], make: Callable[[Any], Row], name: str) -> None:
        super().__init__()
        self._entries = entries
        self._make = make
        self.name = name

    def __iter__(self) -> Iterator[Row]:
        return (make() for make in self.made())

    def made(self) -> Iterator[Callable[[], Row]]:
        """What makes each row, so that a bad one does not end those that follow.

        Raises:
            InputError: a pass without rows.
        """
        for number in count():
            empty = True
            for entry in self._entries(number):
                empty = False
                yield partial(self._make, entry)
            if empty:
                raise InputError(f"{self.name} holds no rows")

    def first(self, rows: int) -> Rows:
        """The first rows of the first pass, as rows with numbers; their media are kept in memory."""
        found = list(islice(self._entries(0), rows))
        if not found:
            raise InputError(f"{self.name} holds no rows")
        return Rows(found, self._make, self.name)

    def only(self, rows: int) -> "Stream":
        """The first rows of every pass."""
        return Stream(lambda number: islice(self._entries(number), rows), self._make, self.name)


def stream_of(
    table: Any,
    read: Callable[[Any], Iterator[Any]],
    make: Callable[[Any], Row],
    name: str,
    shuffle: int = 0,
    seed: int = 0,
) -> Stream:
    """A stream of a `datasets.IterableDataset`.

    Args:
        table: the data.
        read: table -> entries, in order.
        make: entry -> row.
        name: what people call this data in messages.
        shuffle: out of how many entries that are waiting the next one is drawn; 0 keeps their order.
        seed: of the draws; each pass has other ones.
    """

    def entries(number: int) -> Iterator[Any]:
        if not shuffle:
            return read(table)
        drawn = table.shuffle(seed=seed, buffer_size=shuffle)
        drawn.set_epoch(number)
        return read(drawn)

    return Stream(entries, make, name)
