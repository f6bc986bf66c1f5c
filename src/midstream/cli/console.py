"""What every command shares: a sentence instead of a traceback, a JSON object as the last line, progress on stderr."""

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from midstream.errors import InputError

BAD_INPUT = 2
INTERRUPTED = 130
SECONDS_BETWEEN_LINES = 5.0

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of stdout.")]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A Python file with encoders of your own.", metavar="FILE.py")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

stderr = Console(stderr=True)


@contextmanager
def told(as_json: bool, debug: bool) -> Iterator[None]:
    """Run a command's body: bad input and Ctrl-C end it with one sentence on stderr and an exit code.

    2 is bad input (every `ValueError`, pydantic's included, and every `OSError`), 130 is Ctrl-C. Anything else is a
    defect of Midstream and keeps its traceback.
    """
    quiet_libraries()
    try:
        yield
    except KeyboardInterrupt as stop:
        _say(str(stop) or "stopped", as_json)
        raise typer.Exit(INTERRUPTED) from None
    except (ValueError, OSError) as error:
        if debug:
            raise
        _say(" ".join(str(error).split()), as_json, is_error=True)
        raise typer.Exit(BAD_INPUT) from None


def _say(sentence: str, as_json: bool, is_error: bool = False) -> None:
    stderr.print(f"error: {sentence}" if is_error else sentence, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        emit({"error": sentence})


def emit(result: dict[str, Any]) -> None:
    """One JSON object on one line of stdout; what is not a number becomes null."""
    print(json.dumps(_finite(result), ensure_ascii=False, allow_nan=False), flush=True)  # noqa: T201 - the result itself


def show(text: Any) -> None:
    """The result for people, on stdout. Plain text goes out as it is: what a model says is no markup."""
    if isinstance(text, str):
        typer.echo(text)
    else:
        Console(soft_wrap=True).print(text, highlight=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


class Bars:
    """Draws a `midstream.progress.Report` on stderr: bars in a terminal, a line now and then in a log."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskID] = {}
        self._last = 0.0
        columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, TextColumn("{task.fields[note]}"), console=stderr)

    def __enter__(self) -> "Bars":
        if stderr.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if stderr.is_terminal:
            self._progress.stop()

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """A `Report`."""
        if stderr.is_terminal:
            if stage not in self._tasks:
                self._tasks[stage] = self._progress.add_task(stage, total=total, note=note)
            self._progress.update(self._tasks[stage], completed=done, total=total, note=note)
        elif done == total or time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            stderr.print(f"{stage} {done}/{total} {note}".rstrip(), markup=False, highlight=False)


def quiet_libraries() -> None:
    """Keep other libraries' bars and notes out of the way; their warnings too, unless the user asked for them."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.warnoptions:
        import warnings

        warnings.simplefilter("ignore")


def quiet_bars() -> None:
    """Switch Transformers' own progress bars off. Imports it, so commands call this when they would do so anyway."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def model_folder(source: str) -> Path:
    """Where the model called `source` lies.

    Raises:
        InputError: neither the shipped `pocket` nor a folder with a model.
    """
    from midstream import pocket

    shipped = pocket.model_names()
    folder = pocket.model_path(source) if source in shipped else Path(source)
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{source} is not a model's folder; give one that midstream train wrote, or a shipped one: "
            f"{', '.join(shipped)}"
        )
    return folder


def sources(model: str) -> list[str]:
    """The models that `a+b` joins; a folder may have a plus in its name."""
    return [model] if Path(model).is_dir() else model.split("+")


def load(source: str) -> tuple[Any, Any]:
    """A saved model, or several joined by a plus, and the processor, on the accelerator if there is one.

    Raises:
        InputError: nothing of that name, or not a Midstream model, or models that cannot be stacked.
    """
    parts = sources(source)
    for part in parts:
        model_folder(part)
    quiet_bars()
    import torch

    from midstream import MidstreamForCausalLM, MidstreamProcessor
    from midstream.stacking import stack, stacked_processor

    if len(parts) == 1:
        model, processor = MidstreamForCausalLM.from_pretrained(source), MidstreamProcessor.from_pretrained(source)
    else:
        model, processor = stack(parts), stacked_processor(parts)
    if torch.cuda.is_available():
        torch.nn.Module.to(model, "cuda")
    return model, processor


def load_plugins(files: list[Path] | None) -> None:
    """Make the encoders of the user's own files known.

    Raises:
        InputError: a file cannot be run, or defines none.
    """
    if files:
        from midstream.own import load_plugin

        for file in files:
            load_plugin(file)
