"""`midstream stack`: models trained apart, saved as one."""

from pathlib import Path
from typing import Annotated

import typer

from midstream.cli.console import AsJson, Debug, Plugins, emit, load_plugins, model_folder, quiet_bars, show, told
from midstream.errors import InputError


def stack(
    models: Annotated[list[str], typer.Argument(help="Two or more models on one language model.", metavar="MODEL...")],
    out: Annotated[Path, typer.Option(help="Folder of the joined model.")],
    plugins: Plugins = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Join models that were trained apart on one language model. Each one's answers stay what they were.

    [bold]Examples[/bold]

      midstream stack pocket pocket-audio --out runs/eyes_and_ears

      midstream ask runs/eyes_and_ears --image a.png --audio b.wav "are they the same colour?"
    """
    with told(as_json, debug):
        load_plugins(plugins)
        for name in models:
            model_folder(name)
        if out.exists():
            raise InputError(f"{out} exists already; choose another --out")
        quiet_bars()
        from midstream.stacking import stack as join
        from midstream.stacking import stacked_processor

        joined = join(models)
        joined.save_pretrained(out)
        stacked_processor(models).save_pretrained(out)
        size = (out / "model.safetensors").stat().st_size
        if as_json:
            emit({"model": str(out), "modalities": list(joined.modalities), "bytes": size})
        else:
            show(f"{out} has {', '.join(joined.modalities)}: {size / 1e6:.1f} MB of connectors")
