"""What hangs on `Trainer`'s events: progress, the mark of a complete checkpoint, and a Ctrl-C that loses nothing."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from midstream.progress import Report
from midstream.run_folder import COMPLETE


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during training; the message says what is kept and how to go on."""


class Progress(TrainerCallback):
    """Steps and the latest loss, to a `Report`."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._note = ""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Remember the loss."""
        if logs and "loss" in logs:
            self._note = f"loss {float(logs['loss']):.4f}"

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One step further; the last one is always logged, however few there are."""
        control.should_log = control.should_log or state.global_step == state.max_steps
        self._report("training", state.global_step, state.max_steps, self._note)


class CompleteMark(TrainerCallback):
    """Writes the file `complete` into a checkpoint after everything else is there."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The checkpoint of this step is whole; the process that wrote it says so."""
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()


class Interruption(TrainerCallback):
    """The first Ctrl-C ends the run after the current step, with a checkpoint; the second one ends it at once."""

    def __init__(self) -> None:
        self._asked = False
        self._stepping = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Listen for Ctrl-C. Signals reach the main thread only; elsewhere nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._asked or not self._stepping:
            raise KeyboardInterrupt
        self._asked = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """From here on there are steps to finish."""
        self._stepping = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save and stop, if asked to."""
        if self._asked:
            control.should_save = control.should_training_stop = True

    def check(self, step: int, steps: int) -> None:
        """Raise `Interrupted` if the run was ended before its last step."""
        self._stepping = False
        if self._asked and step < steps:
            raise Interrupted(f"stopped after step {step} of {steps}; go on with the same command and --resume")
