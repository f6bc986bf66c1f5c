"""`midstream ask`: a question about pictures, sounds, films, molecules, series, or what else a model senses."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from midstream.cli.console import AsJson, Debug, Plugins, emit, load, load_plugins, model_folder, show, sources, told
from midstream.errors import InputError

Files = list[Path] | None
Texts = list[str] | None


def ask(
    model: Annotated[str, typer.Argument(help="A model's folder, a shipped one, or several: a+b.", metavar="MODEL")],
    question: Annotated[
        str, typer.Argument(help="What to ask; <image>, <audio>, ... mark a medium's place.", metavar="QUESTION")
    ],
    images: Annotated[Files, typer.Option("--image", help="A PNG, JPEG, WebP, ... file; may be repeated.")] = None,
    sounds: Annotated[Files, typer.Option("--audio", help="A WAV, FLAC, OGG or MP3 file.")] = None,
    videos: Annotated[Files, typer.Option("--video", help="An MP4, WebM or GIF file, or a folder of pictures.")] = None,
    molecules: Annotated[Texts, typer.Option("--smiles", help="A molecule, for example CCO.")] = None,
    series: Annotated[Files, typer.Option("--series", help="A CSV, NPY or JSON file, a column a channel.")] = None,
    rows: Annotated[Texts, typer.Option("--row", help="A table's row, for example alcohol=13.2,hue=1.05")] = None,
    media: Annotated[
        Texts, typer.Option("--media", help="Any other medium, by its modality's name.", metavar="NAME=FILE")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 64,
    plugins: Plugins = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Ask a question about pictures, sounds, films, molecules, series or rows.

    They stand in front of the question, or where it says <image>, <audio> and so on. Models that were trained apart on
    one language model answer together: pocket+pocket-audio.

    [bold]Examples[/bold]

      midstream ask pocket --image photo.png "what colour is the square?"

      midstream ask runs/deep_insert --image a.png --image b.jpg "how many objects are there?"

      midstream ask pocket-audio --audio bell.wav "what do you hear first?"

      midstream ask pocket-molecule --smiles CCO "how many rings are there?"

      midstream ask runs/mine --plugin my_modality.py --media elevation=hills.npz "is it steep?"
    """
    with told(as_json, debug):
        load_plugins(plugins)
        senses = _senses(model)
        given: list[tuple[str, Any]] = []
        files = {"image": images, "audio": sounds, "video": videos, "molecule": molecules, "series": series}
        for medium, items in files.items():
            given += [(_sense(senses, medium, model), item) for item in items or []]
        given += [(_sense(senses, "table", model), row) for row in rows or []]
        given += [_named(entry, senses, model) for entry in media or []]
        content = compose(question, given, senses)
        started = time.perf_counter()
        loaded, processor = load(model)
        from midstream.tasks.evaluation import answer

        said = answer(loaded, processor, [[{"role": "user", "content": content}]], max_new_tokens)[0]
        if as_json:
            seconds = round(time.perf_counter() - started, 2)
            shown = [{"modality": name, "source": str(item)} for name, item in given]
            emit({"answer": said, "question": question, "media": shown, "model": model, "seconds": seconds})
        else:
            show(said)


def _senses(model: str) -> dict[str, str]:
    """The model's modalities and their media, read from its config before anything is loaded."""
    from midstream.configuration import load_config

    found: dict[str, str] = {}
    for source in sources(model):
        model_folder(source)
        parts = load_config(source).modalities or {}
        found |= {name: part.get("medium") or "image" for name, part in parts.items() if "fingerprint" in part}
    return found


def _sense(senses: dict[str, str], medium: str, model: str) -> str:
    """The modality that takes a medium: the one called after it, or the only one of that kind."""
    if medium in senses:
        return medium
    fitting = [name for name, kind in senses.items() if kind == medium]
    if len(fitting) == 1:
        return fitting[0]
    has = ", ".join(f"{name} ({kind})" if name != kind else name for name, kind in senses.items()) or "text only"
    remedy = "say which with --media NAME=FILE" if fitting else "ask another model, or join two: a+b"
    raise InputError(f"{model} has {len(fitting) or 'no'} modality for {medium}, it has {has}; {remedy}")


def _named(entry: str, senses: dict[str, str], model: str) -> tuple[str, str]:
    name, equals, item = entry.partition("=")
    if not equals or not item:
        raise InputError(f"--media {entry!r} must look like elevation=hills.npz")
    if name not in senses:
        raise InputError(f"{model} has no modality {name!r}; it has {', '.join(senses) or 'text only'}")
    return name, item


def compose(question: str, given: Sequence[tuple[str, Any]], senses: dict[str, str]) -> list[dict[str, Any]]:
    """The parts of a user turn: the media in front, or where the question has slots.

    Args:
        question: with or without slots such as `<image>`.
        given: (modality, path or value) in order.
        senses: the model's modalities and their media.

    Raises:
        InputError: an empty question, a file that is not there, or other numbers of slots and media.
    """
    names = list(dict.fromkeys([*senses, *(name for name, _ in given)]))
    pieces = _split(question, names)
    if not "".join(text for text in pieces if text[:1] != "<" or text[1:-1] not in names).strip():
        raise InputError('the question is empty; ask something, for example "what is in the picture?"')
    waiting: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for name, item in given:
        waiting[name].append(_part(name, item, senses.get(name, name)))
    for name in names:
        slots = pieces.count(f"<{name}>")
        if slots and slots != len(waiting[name]):
            raise InputError(
                f"the question has {slots} <{name}> slots, but {len(waiting[name])} were given; give one for each slot"
            )
    parts: list[dict[str, Any]] = []
    for name, _ in given:
        if f"<{name}>" not in pieces:
            parts.append(waiting[name].pop(0))
    for piece in pieces:
        if piece[:1] == "<" and piece[1:-1] in names:
            parts.append(waiting[piece[1:-1]].pop(0))
        elif piece.strip():
            parts.append({"type": "text", "text": piece})
    return parts


def _split(question: str, names: Sequence[str]) -> list[str]:
    import re

    pattern = "|".join(re.escape(f"<{name}>") for name in names)
    return [piece for piece in re.split(f"({pattern})", question) if piece] if names else [question]


def _part(name: str, item: Any, medium: str) -> dict[str, Any]:
    """A message part; files are looked at here, before the model is loaded, so that a bad one is told at once."""
    if medium == "image":
        from midstream.media import load_image

        item = load_image(item)
    elif isinstance(item, Path) and not item.exists():
        raise InputError(f"{item} does not exist; check the path")
    return {"type": name, name: str(item) if isinstance(item, Path) else item}
