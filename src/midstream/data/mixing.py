"""Several data sets in one, in given proportions. Knows no format.

Which part row i comes from, and which of its rows it is, is a function of i and the seed alone: every block of `BLOCK`
rows has each part exactly as often as its weight says, in an order drawn for that block. So a training shuffles the
mix like any other data, and goes on after an interruption where it stopped.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import count

import numpy as np

from midstream.data.rows import Row, Rows
from midstream.data.streams import Stream
from midstream.errors import InputError

BLOCK = 1000
"""Proportions are kept to a part in this many rows."""


class Pattern:
    """Which part each row of a mix comes from.

    Args:
        weights: of the parts; only their proportions count.
        seed: of the order within blocks.

    Raises:
        InputError: a part whose share is below half a row in a block.
    """

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        self.shares = _quotas([weight / sum(weights) for weight in weights])
        self._seed = seed
        for number, (share, weight) in enumerate(zip(self.shares, weights, strict=True)):
            if not share:
                raise InputError(
                    f"data.parts[{number}].weight is {weight}, less than one row in {BLOCK:,}; "
                    f"give it more, or leave it out"
                )
        self._block = lru_cache(maxsize=64)(self._draw)

    def __call__(self, index: int) -> tuple[int, int]:
        """The part that row `index` comes from, and how many rows of that part came before it."""
        block, offset = divmod(index, BLOCK)
        parts, ranks = self._block(block)
        part = int(parts[offset])
        return part, block * self.shares[part] + int(ranks[offset])

    def place(self, part: int, number: int) -> int:
        """Which row of the mix is row `number` of a part."""
        block, rank = divmod(number, self.shares[part])
        return block * BLOCK + int(np.flatnonzero(self._block(block)[0] == part)[rank])

    def _draw(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        parts = np.repeat(np.arange(len(self.shares)), self.shares)
        parts = np.random.default_rng([self._seed, block]).permutation(parts)
        ranks = np.zeros(BLOCK, dtype=np.int64)
        for part in range(len(self.shares)):
            ranks[parts == part] = np.arange(self.shares[part])
        return parts, ranks


def _quotas(shares: Sequence[float]) -> list[int]:
    """Whole numbers that sum to `BLOCK`, by largest remainders."""
    exact = [share * BLOCK for share in shares]
    quotas = [int(value) for value in exact]
    order = sorted(range(len(exact)), key=lambda number: quotas[number] - exact[number])
    for number in order[: BLOCK - sum(quotas)]:
        quotas[number] += 1
    return quotas


def mixed(parts: Sequence[Rows | Stream], weights: Sequence[float], seed: int) -> Rows | Stream:
    """The mix; a stream if any part is one.

    Its length is what it takes to go through every part once; shorter parts begin again meanwhile.

    Args:
        parts: at least one.
        weights: of the parts.
        seed: of the order.

    Raises:
        InputError: a weight too small, or an empty part.
    """
    pattern = Pattern(weights, seed)
    name = f"a mix of {', '.join(part.name for part in parts)}"
    counted = [part for part in parts if isinstance(part, Rows)]
    for part in counted:
        if not len(part):
            raise InputError(f"{part.name} holds no rows, so it cannot be mixed in")
    if len(counted) < len(parts):
        return Stream(lambda number: _poured(parts, pattern), lambda make: make(), name)

    def row(index: int) -> Row:
        part, before = pattern(index)
        return counted[part][before % len(counted[part])]

    rows = 1 + max(pattern.place(part, len(found) - 1) for part, found in enumerate(counted))
    return Rows(range(rows), row, name, f"{pattern.shares} {seed}", counted)


def _poured(parts: Sequence[Rows | Stream], pattern: Pattern) -> Iterator[Callable[[], Row]]:
    """What makes each row of a mix with streams in it, without end."""
    sources = [part.made() if isinstance(part, Stream) else _again(part) for part in parts]
    for index in count():
        yield next(sources[pattern(index)[0]])


def _again(rows: Rows) -> Iterator[Callable[[], Row]]:
    for index in count():
        yield partial(rows.__getitem__, index % len(rows))
