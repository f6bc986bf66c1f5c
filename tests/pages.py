"""Runs the `console` lines of a documentation page, word for word but for `--smoke` and a small `--n`."""

import runpy
import shlex
import sys
from importlib import import_module

from typer.testing import CliRunner

from midstream.cli import app


def run_line(line: str) -> str:
    """Run `$ midstream ...` or `$ python ...` in the working directory; returns what it printed."""
    program, *arguments = shlex.split(line.removeprefix("$ "))
    if program == "python":
        _python(arguments)
        return ""
    assert program == "midstream", line
    if arguments[0] == "train":
        arguments.append("--smoke")
    if "--n" in arguments:
        arguments[arguments.index("--n") + 1] = "4"
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, f"{line}\n{result.output}"
    assert result.stdout.strip(), line
    return result.stdout


def _python(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        assert import_module(arguments[1]).main(arguments[2:]) == 0, arguments
        return
    before, sys.argv = sys.argv, arguments
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    finally:
        sys.argv = before
