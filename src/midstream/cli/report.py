"""`midstream report`: a results table as a page and figures."""

from pathlib import Path
from typing import Annotated

import typer

from midstream.cli.console import AsJson, Debug, emit, show, told


def report(
    table: Annotated[
        Path, typer.Argument(help="The table that midstream sweep wrote, with or without .parquet.", metavar="RESULTS")
    ],
    out: Annotated[Path | None, typer.Option(help="The HTML file.", show_default="RESULTS.html")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Draw the results of a sweep: one HTML page that needs nothing but itself, and each figure as a PNG.

    [bold]Examples[/bold]

      midstream report results/depth

      midstream report results/evidence.parquet --out evidence.html
    """
    with told(as_json, debug):
        from midstream.report.page import write_report

        source = table if table.suffix == ".parquet" else table.with_name(table.name + ".parquet")
        files = write_report(source, out or source.with_suffix(".html"))
        if as_json:
            emit({"page": str(files[0]), "figures": [str(file) for file in files[1:]]})
        else:
            show("\n".join(map(str, files)))
