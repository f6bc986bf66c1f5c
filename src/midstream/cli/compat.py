"""`midstream compat`: which decoder families of Transformers work, checked on tiny random models."""

from pathlib import Path
from typing import Annotated, Any

import typer

from midstream.cli.console import AsJson, Bars, Debug, emit, show, told


def compat(
    families: Annotated[
        list[str] | None, typer.Argument(help="Model types, such as `llama`; all when none is named.")
    ] = None,
    docs: Annotated[Path | None, typer.Option(help="Write the Markdown page of the result to this file.")] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Check decoder families: a tiny random model of each, tokens entering at its first, middle and last layer.

    A family passes, is refused at construction with a reason, or fails; exit code 1 says that one failed.

    [bold]Examples[/bold]

      midstream compat

      midstream compat llama qwen3 gpt2 --json

      midstream compat --docs docs/compat.md
    """
    with told(as_json, debug):
        from midstream.compat.families import families as known
        from midstream.compat.page import page
        from midstream.compat.run import run

        names = families or list(known())
        if unknown := sorted(set(names) - set(known())):
            raise ValueError(f"{unknown[0]!r} is not one of the {len(known())} causal-LM families of Transformers")
        with Bars() as bars:
            result = run(names, lambda done, family: bars("families", done, len(names), family))
        if docs is not None:
            docs.write_text(page(result, "midstream compat --docs docs/compat.md"), encoding="utf-8")
        if as_json:
            emit(result)
        else:
            show(_table(result))
    if any(entry["status"] == "fail" for entry in result["families"].values()):
        raise typer.Exit(1)


def _table(result: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table("family", "status", "reason")
    for family, entry in result["families"].items():
        table.add_row(family, entry["status"], entry["reason"])
    return table
