"""How far a sweep is: the state of every cell, and when it will be done. Draws nothing."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

State: TypeAlias = Literal["waiting", "training", "evaluating", "done", "failed"]
Clock = Callable[[], float]


@dataclass(slots=True)
class Progress:
    """One cell's."""

    name: str
    state: State = "waiting"
    done: int = 0
    total: int = 0
    note: str = ""
    accuracy: float | None = None
    seconds: float | None = None


@dataclass(slots=True)
class Board:
    """All cells', and a listener that is told of every change.

    Args:
        cells: in the order in which they are run.
        processes: that share them.
        listener: must be quick.
        clock: seconds.
    """

    cells: Sequence[Progress]
    processes: int = 1
    listener: Callable[["Board"], None] = lambda board: None
    clock: Clock = time.monotonic
    _begun: dict[str, float] = field(default_factory=dict)

    def of(self, name: str) -> Progress:
        """The cell called `name`."""
        return next(cell for cell in self.cells if cell.name == name)

    def begin(self, name: str) -> None:
        """A cell is begun in this process."""
        self._begun[name] = self.clock()
        self.change(name, state="training")

    def change(self, name: str, **facts: object) -> None:
        """Write down what is known of a cell now."""
        cell = self.of(name)
        for key, value in facts.items():
            setattr(cell, key, value)
        if cell.state in ("done", "failed") and name in self._begun:
            cell.seconds = self.clock() - self._begun.pop(name)
        self.listener(self)

    def count(self, state: State) -> int:
        """How many cells are in a state."""
        return sum(cell.state == state for cell in self.cells)

    def seconds_left(self) -> float | None:
        """About how long all of it will take: what the cells of this run took on the average, for each that is not
        done; None before the first one is."""
        took = [cell.seconds for cell in self.cells if cell.state == "done" and cell.seconds is not None]
        if not took:
            return None
        average = sum(took) / len(took)
        running = sum(min(self.clock() - begun, average) for begun in self._begun.values())
        waiting = self.count("waiting") + self.count("training") + self.count("evaluating")
        return max(average * waiting / self.processes - running, 0.0)
