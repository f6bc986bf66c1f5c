"""`midstream samples`: files to try a model on, with questions and their answers."""

from pathlib import Path
from shlex import join
from typing import Annotated

import typer

from midstream.cli.console import AsJson, Debug, emit, show, told

MODELS = {"pictures": "pocket", "sounds": "pocket-audio", "motion": "pocket-video", "molecules": "pocket-molecule",
          "series": "pocket-series", "picture_and_sound": "pocket-pair"}  # fmt: skip


def samples(
    worlds: Annotated[
        list[str] | None,
        typer.Argument(help=f"Which worlds: {', '.join(MODELS)}.", metavar="[WORLD...]", show_default="all"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder; each world gets one of its own in it.")] = Path("samples"),
    n: Annotated[int, typer.Option("--n", min=1, help="Examples of each world.")] = 3,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Write pictures, sounds, films, series and molecules of the pocket worlds as ordinary files, with questions.

    Nothing of them was trained on. questions.jsonl in each folder is a data set in the format that recipes read.

    [bold]Examples[/bold]

      midstream samples

      midstream samples sounds motion --n 5 --out try
    """
    with told(as_json, debug):
        from midstream.pocket.files import command, write_examples
        from midstream.pocket.worlds import example_of

        chosen = worlds or list(MODELS)
        for world in chosen:
            example_of(world)  # an unknown one is told before anything is written
        found: list[dict[str, str]] = []
        for world in chosen:
            for row in write_examples(world, n, out / world):
                truth = row["messages"][1]["content"]
                answer = truth if isinstance(truth, str) else truth[-1]["text"]
                asked = join(command(MODELS[world], row, out / world))
                found.append({"world": world, "command": asked, "truth": answer})
        if as_json:
            emit({"folder": str(out), "samples": found})
        else:
            for entry in found:
                show(f"{entry['command']}\n    # {entry['truth']}")
            show(f"the files are in {out}; copy a line to ask, or see questions.jsonl in each folder")
