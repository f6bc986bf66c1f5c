"""How an unmodified forward is left early, with what was wanted of it. Knows no layer."""

from typing import Any


class Reached(Exception):  # noqa: N818 - no error: it ends a forward that has done its work
    """What was wanted is there; the rest is not run."""

    def __init__(self, *found: Any) -> None:
        super().__init__("a forward was left early")
        self.found = found
