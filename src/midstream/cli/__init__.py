"""The command line, `midstream train`, `ask`, `cost` and their like. Owns arguments and words, no work.

Nothing heavy is imported before a command runs, so that `--help` answers at once.
"""

from typing import Annotated

import typer

from midstream import __version__
from midstream.cli.ask import ask
from midstream.cli.bench import bench
from midstream.cli.compat import compat
from midstream.cli.console import show
from midstream.cli.cost import cost
from midstream.cli.demo import demo
from midstream.cli.evaluate import evaluate
from midstream.cli.info import info
from midstream.cli.report import report
from midstream.cli.samples import samples
from midstream.cli.stack import stack
from midstream.cli.sweep import sweep
from midstream.cli.train import train

app = typer.Typer(
    name="midstream",
    help="Give an unmodified language model new senses: their tokens join mid-stream, at the layer where that pays.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command("train")(train)
app.command("ask")(ask)
app.command("eval")(evaluate)
app.command("stack")(stack)
app.command("samples")(samples)
app.command("info")(info)
app.command("demo")(demo)
app.command("compat")(compat)
app.command("cost")(cost)
app.command("bench")(bench)
app.command("sweep")(sweep)
app.command("report")(report)


def _say_version(asked: bool) -> None:
    if asked:
        show(f"midstream {__version__}")
        raise typer.Exit


@app.callback()
def _shared(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the console script."""
    app()
