"""`midstream ask`: a question about pictures."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from midstream.cli.console import AsJson, Debug, emit, load, show, told
from midstream.errors import InputError

SLOT = "<image>"


def ask(
    model: Annotated[str, typer.Argument(help="A model's folder, or the shipped `pocket`.", metavar="MODEL")],
    question: Annotated[str, typer.Argument(help="What to ask; <image> marks a picture's place.", metavar="QUESTION")],
    images: Annotated[list[Path] | None, typer.Option("--image", help="A PNG or JPEG file; may be repeated.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 64,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Ask a question about one or more pictures.

    Pictures stand in front of the question, or where it says <image>.

    [bold]Examples[/bold]

      midstream ask pocket --image photo.png "what colour is the square?"

      midstream ask runs/deep_insert --image a.png --image b.jpg "how many objects are there?"
    """
    with told(as_json, debug):
        content = compose(question, images or [])
        started = time.perf_counter()
        loaded, processor = load(model)
        from midstream.tasks.evaluation import answer

        said = answer(loaded, processor, [[{"role": "user", "content": content}]], max_new_tokens)[0]
        if as_json:
            seconds = round(time.perf_counter() - started, 2)
            pictures = [str(path) for path in images or []]
            emit({"answer": said, "question": question, "images": pictures, "model": model, "seconds": seconds})
        else:
            show(said)


def compose(question: str, images: list[Path]) -> list[dict[str, Any]]:
    """The parts of a user turn: the pictures in front, or where the question has slots.

    Raises:
        InputError: an empty question, an unreadable picture, or other numbers of slots and pictures.
    """
    from midstream.media import load_image

    slots = question.count(SLOT)
    if not question.replace(SLOT, "").strip():
        raise InputError('the question is empty; ask something, for example "what is in the picture?"')
    if slots and slots != len(images):
        raise InputError(
            f"the question has {slots} {SLOT} slots, but {len(images)} --image were given; give one for each slot"
        )
    # Loaded here, before the model, so that a bad file is told at once.
    pictures = [{"type": "image", "image": load_image(path)} for path in images]
    if not slots:
        return [*pictures, {"type": "text", "text": question}]
    parts: list[dict[str, Any]] = []
    for index, text in enumerate(question.split(SLOT)):
        parts += [pictures[index - 1]] if index else []
        parts += [{"type": "text", "text": text}] if text.strip() else []
    return parts
