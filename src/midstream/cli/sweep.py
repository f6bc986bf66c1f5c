"""`midstream sweep`: a grid of runs, from one command to one table."""

from pathlib import Path
from typing import Annotated, Any

import typer

from midstream.cli.console import AsJson, Debug, Plugins, emit, load_plugins, quiet_bars, show, stderr, told
from midstream.errors import InputError

SHOWN = 16
"""Rows of the table while it runs; of longer sweeps the ones around the present cell."""
COLOURS = {"done": "green", "failed": "red", "training": "cyan", "evaluating": "cyan", "waiting": "dim"}


def sweep(
    grids: Annotated[
        list[str],
        typer.Argument(help="Shipped grids' names, or YAML files; several share one table.", metavar="GRID..."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the cells; the table lies beside it.", show_default="results/GRID"),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the grid, or the recipe of every cell; repeatable."),
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="CELL", help="Run this cell only, or those that fit a pattern with `*`.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the grid and list its cells; run nothing.")] = False,
    redo: Annotated[
        bool, typer.Option("--redo", help="Measure cells again that were run with other settings.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the models of the cells.")] = False,
    plugins: Plugins = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run every cell of a grid: train, evaluate with all controls, write down. The same command goes on after any end.

    With several devices: accelerate launch -m midstream sweep GRID; each process takes its own cells.

    [bold]Examples[/bold]

      midstream sweep depth

      midstream sweep depth --set seeds=[0] --set evaluate.n=200 --only "layer=*,seed=0"

      midstream sweep my_grid.yaml --out results/mine --dry-run

      midstream sweep depth methods --out results/mine

      accelerate launch --num_processes 4 -m midstream sweep methods
    """
    from midstream.sweep.processes import stand_alone

    share = stand_alone()  # before anything touches a device
    with told(as_json, debug):
        load_plugins(plugins)
        from midstream.sweep.cells import chosen, joined
        from midstream.sweep.grid import load_grid

        settings = [load_grid(grid, overrides) for grid in grids]
        cells = chosen(joined(settings), only)
        if dry_run:
            _list(settings, cells, as_json)
            return
        folder = out or Path("results") / settings[0].name
        quiet_bars()
        from midstream.sweep.running import run

        with Drawing(quiet=share.number != 0) as drawing:
            outcome = run(settings, cells, folder, share=share, redo=redo, keep=keep, listener=drawing)
        if share.number:
            return  # of many processes the first one tells
        if outcome.failed:
            name, why = next(iter(outcome.failed.items()))
            raise InputError(f"{len(outcome.failed)} of {outcome.cells} cells failed; the first, {name}: {why}")
        for part in outcome.mixed:
            stderr.print(f"note: {part} had other weights in some cells", markup=False, highlight=False)
        if as_json:
            found = {"table": str(outcome.table), "rows": outcome.rows, "cells": outcome.cells, "done": outcome.done}
            emit(found | {"mixed": outcome.mixed})
        else:
            show(f"{outcome.done} of {outcome.cells} cells are done; {outcome.rows} rows are in {outcome.table}")
            show(f"try: midstream report {outcome.table}")


def _list(grids: list[Any], cells: list[Any], as_json: bool) -> None:
    if as_json:
        emit({"grids": [grid.name for grid in grids], "cells": [{"cell": c.name, **c.settings} for c in cells]})
        return
    for cell in cells:
        show(f"{cell.name}  {cell.recipe.training.steps} steps")
    for grid in grids:
        wanted, count = grid.evaluate, sum(cell.grid == grid.name for cell in cells)
        controls = f" and all controls of {', '.join(filter(wanted.controlled, wanted.splits))}"
        controls = controls if any(map(wanted.controlled, wanted.splits)) else ""
        asked = f"{wanted.n} questions of {', '.join(wanted.splits)}{controls}"
        show(f"{count} cells of {grid.name}; each: {asked}")


class Drawing:
    """Draws a sweep's board on stderr: a table in a terminal, a line for each change of state in a log."""

    def __init__(self, quiet: bool = False) -> None:
        from rich.live import Live

        self._quiet = quiet
        self._live = Live(console=stderr, refresh_per_second=4)
        self._told: dict[str, str] = {}

    def __enter__(self) -> "Drawing":
        if stderr.is_terminal and not self._quiet:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live.is_started:
            self._live.stop()

    def __call__(self, board: Any) -> None:
        """A listener of `midstream.sweep.board.Board`."""
        if self._quiet:
            return
        if self._live.is_started:
            self._live.update(table(board))
            return
        for cell in board.cells:
            if cell.state not in ("waiting", self._told.get(cell.name)):
                self._told[cell.name] = cell.state
                said = "" if cell.accuracy is None else f" accuracy {cell.accuracy:.1%}"
                stderr.print(f"{cell.name}: {cell.state}{said}{_left(board)}", markup=False, highlight=False)


def table(board: Any) -> Any:
    """The board as a table: cell, state, accuracy, time."""
    from rich.table import Table

    count = f"{board.count('done')} of {len(board.cells)} cells done{_left(board)}"
    shown = Table(title=count, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name, side in (("cell", "left"), ("state", "left"), ("accuracy", "right"), ("time", "right")):
        shown.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
    states = [cell.state for cell in board.cells]
    now = next((number for number, state in enumerate(states) if state not in ("done", "failed")), len(states))
    first = max(0, min(now - SHOWN // 2, len(states) - SHOWN))
    for cell in board.cells[first : first + SHOWN]:
        state = cell.state
        if cell.total and state in ("training", "evaluating"):
            state += f" {cell.done}/{cell.total} {cell.note.partition(' ')[2]}".rstrip()
        shown.add_row(
            cell.name,
            f"[{COLOURS[cell.state]}]{state}[/]",
            "" if cell.accuracy is None else f"{cell.accuracy:.1%}",
            "" if cell.seconds is None else spoken(cell.seconds),
        )
    return shown


def _left(board: Any) -> str:
    seconds = board.seconds_left()
    return "" if not seconds else f", about {spoken(seconds)} left"


def spoken(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
