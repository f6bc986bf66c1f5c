"""Runs the checks over families, each in a worker process with a time limit, and draws the table and the docs page."""

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from midstream.errors import InputError
from midstream.provenance import provenance

TIME_LIMIT = 600.0
"""Seconds for one family, which takes one or two; a busy machine is no finding."""


def check_family(family: str) -> dict[str, Any]:
    """One family in this process: {"status", "reason", "checks"}."""
    import torch

    from midstream.compat.checks import run_checks
    from midstream.compat.families import tiny_model
    from midstream.compat.recipes import LARGEST

    checks: dict[str, Any] = {}
    try:
        lm = tiny_model(family)
        size = sum(parameter.numel() for parameter in lm.parameters())
        assert size <= LARGEST, f"the tiny model of {family} has {size:,} parameters; its recipe is incomplete"
        torch.manual_seed(0)
        for name, result in run_checks(lm):
            checks[name] = result.to_dict()
    except InputError as refusal:
        status = "fail" if checks else "refused"  # a refusal comes at construction or not at all
        return {"status": status, "reason": str(refusal), "checks": checks}
    except Exception as error:  # whatever a family's own code raises is a finding, not an end
        return {
            "status": "fail",
            "reason": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            "checks": checks,
        }
    wrong = [f"{name} {check['value']:.1e}" for name, check in checks.items() if not check["passed"]]
    return {"status": "fail" if wrong else "pass", "reason": ", ".join(wrong), "checks": checks}


def run(families: Sequence[str], report: Callable[[int, str], None] = lambda done, family: None) -> dict[str, Any]:
    """Check `families`: {"families": {name: {"status", "reason", "checks"}}, "provenance"}.

    Args:
        report: called before each family with how many are done, and its name.
    """
    found: dict[str, Any] = {}
    worker = _Worker()
    try:
        for done, family in enumerate(families):
            report(done, family)
            found[family] = worker.check(family)
    finally:
        worker.stop()
    return {"families": found, "provenance": provenance(seed=0)}


class _Worker:
    """A process that checks families one by one; it is replaced when it hangs or dies."""

    def __init__(self) -> None:
        self._process: Any = None

    def check(self, family: str) -> dict[str, Any]:
        if self._process is None:
            self._start()
        self._pipe.send(family)
        try:
            if self._pipe.poll(TIME_LIMIT):
                return self._pipe.recv()
            reason = f"not done after {TIME_LIMIT:.0f} s"
        except EOFError:
            reason = "the process died"
        self.stop()
        return {"status": "fail", "reason": reason, "checks": {}}

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.join()
            self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()


def _serve(pipe: Connection) -> None:
    import warnings

    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.set_verbosity(logging.CRITICAL)
    while True:
        try:
            family = pipe.recv()
        except EOFError:
            return
        pipe.send(check_family(family))
