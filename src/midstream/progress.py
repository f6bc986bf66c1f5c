"""How long jobs say how far they are. Knows no terminal: the command line draws, a library user passes any function."""

from collections.abc import Callable
from typing import TypeAlias

Report: TypeAlias = Callable[[str, int, int, str], None]
"""`(stage, done, total, note)`, called often; must be quick."""


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Say nothing."""
