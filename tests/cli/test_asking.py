"""What `midstream ask` makes of its options, and the command that a training ends with: media find their modality."""

import json
import shlex
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

import runs
from midstream.cli import app
from midstream.cli.ask import _named, _sense, compose
from midstream.cli.train import _asking
from midstream.errors import InputError
from midstream.recipe import load_recipe, parse_recipe, shipped_names
from midstream.smoke import smoke

SENSES = {"eyes": "image", "audio": "audio", "molecule": "molecule", "elevation": "own"}
asking = import_module("midstream.cli.ask")  # the package has a function of that name


def _flat(parts: list[dict[str, Any]]) -> list[str]:
    """`<name>value` for a medium, the words for a text."""
    return [part["text"] if part["type"] == "text" else f"<{part['type']}>{part[part['type']]}" for part in parts]


GIVEN = [("molecule", "CCO"), ("elevation", "a.npz"), ("molecule", "CCN"), ("elevation", "b.npz")]


@pytest.mark.parametrize(
    ("question", "turn"),
    [
        ("why?", ["<molecule>CCO", "<elevation>a.npz", "<molecule>CCN", "<elevation>b.npz", "why?"]),
        (
            "is <elevation> by <elevation>?",
            ["<molecule>CCO", "<molecule>CCN", "is ", "<elevation>a.npz", " by ", "<elevation>b.npz", "?"],
        ),
        (
            "<elevation><molecule><molecule> or <elevation>",
            ["<elevation>a.npz", "<molecule>CCO", "<molecule>CCN", " or ", "<elevation>b.npz"],
        ),
        ("is it <b>?", ["<molecule>CCO", "<elevation>a.npz", "<molecule>CCN", "<elevation>b.npz", "is it <b>?"]),
    ],
)
def test_media_stand_in_front_or_in_their_slots_in_the_order_given(question: str, turn: list[str]) -> None:
    assert _flat(compose(question, GIVEN, SENSES)) == turn
    assert _flat(compose(question, GIVEN[::-1], SENSES)) != turn  # the control: the order does matter


def test_slots_are_counted_modality_by_modality() -> None:
    with pytest.raises(InputError, match="1 <elevation> slots, but 2 were given"):
        compose("<molecule> <molecule> <elevation>?", GIVEN, SENSES)
    with pytest.raises(InputError, match="1 <audio> slots, but 0 were given"):
        compose("<audio>?", GIVEN, SENSES)
    with pytest.raises(InputError, match="question is empty"):
        compose("<molecule> <elevation>", GIVEN[:2], SENSES)


def test_a_picture_of_a_renamed_modality_is_decoded_and_a_lost_file_told(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), "red").save(tmp_path / "red.png")
    picture, text = compose("which colour?", [("eyes", tmp_path / "red.png")], SENSES)
    assert picture["type"] == "eyes" and picture["eyes"].getpixel((0, 0)) == (255, 0, 0) and text["type"] == "text"
    with pytest.raises(InputError, match=r"gone\.wav does not exist"):
        compose("what?", [("audio", tmp_path / "gone.wav")], SENSES)


def test_a_medium_finds_the_modality_called_after_it_or_the_only_one_of_its_kind() -> None:
    assert _sense(SENSES, "image", "model") == "eyes" and _sense(SENSES, "audio", "model") == "audio"
    assert _sense(SENSES | {"image": "image"}, "image", "model") == "image"
    with pytest.raises(InputError, match=r"2 modality for image, it has eyes \(image\), .*second \(image\); .*--media"):
        _sense(SENSES | {"second": "image"}, "image", "model")
    with pytest.raises(InputError, match=r"no modality for video, .*join two"):
        _sense(SENSES, "video", "model")
    with pytest.raises(InputError, match="it has text only"):
        _sense({}, "image", "model")


def test_any_other_medium_is_given_by_its_name() -> None:
    assert _named("elevation=at=noon.npz", SENSES, "model") == ("elevation", "at=noon.npz")
    for entry in ("elevation", "elevation="):
        with pytest.raises(InputError, match="must look like"):
            _named(entry, SENSES, "model")
    with pytest.raises(InputError, match="no modality 'height'; it has eyes, audio"):
        _named("height=a.npz", SENSES, "model")


def _reached(command: str, senses: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modalities that a command's media come to, for a model of these senses."""
    found: list[str] = []

    def stop(question: str, given: Any, senses: Any) -> None:
        found.extend(name for name, _ in given)
        raise InputError("far enough")

    monkeypatch.setattr(asking, "_senses", lambda model: senses)
    monkeypatch.setattr(asking, "compose", stop)
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert "far enough" in result.output, result.output
    return sorted(found)


def _recipe(**media: str | None) -> Any:
    parts = {name: SimpleNamespace(medium=medium, encoder="some/encoder") for name, medium in media.items()}
    return SimpleNamespace(modalities=parts)


RECIPES = {name: load_recipe(name) for name in shipped_names()} | {
    "renamed": _recipe(eyes="image", ears="audio", drug="molecule", sensor="series", film="video"),
    "named": _recipe(elevation=None, image=None),
    "two of a kind": _recipe(left="image", right="image"),
    "one of them called after it": _recipe(image=None, second="image"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_command_that_training_ends_with_reaches_every_modality(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = RECIPES[name]
    command = _asking(recipe, Path("runs/x"))
    parts = {name: part for name, part in recipe.modalities.items() if part.encoder != "soft_prompt"}
    senses = {name: part.medium or name for name, part in parts.items()}
    assert _reached(command, senses, monkeypatch) == sorted(senses)


def test_the_control_a_command_that_misses_one(monkeypatch: pytest.MonkeyPatch) -> None:
    command = _asking(_recipe(image=None), Path("runs/x"))
    assert _reached(command, {"image": "image", "audio": "audio"}, monkeypatch) != ["audio", "image"]


def test_a_renamed_modality_from_training_to_an_answer(tmp_path: Path) -> None:
    tree = runs.recipe_tree(train="unused.jsonl")
    tree["modalities"] = {"eyes": tree["modalities"]["image"] | {"medium": "image"}}
    tree["smoke"]["encoders"] = {"eyes": runs.ENCODER}
    (tmp_path / "eyes.yaml").write_text(smoke(parse_recipe(tree), tmp_path / "parts").to_yaml())
    Image.new("RGB", (4, 4), "red").save(tmp_path / "photo.png")
    model = str(tmp_path / "model")
    trained = CliRunner().invoke(app, ["train", str(tmp_path / "eyes.yaml"), "--out", model])
    assert f"midstream ask {model} --image photo.png" in " ".join(trained.stdout.split()), trained.output
    for given in (["--image", str(tmp_path / "photo.png")], ["--media", f"eyes={tmp_path / 'photo.png'}"]):
        result = CliRunner().invoke(app, ["ask", model, *given, "is <eyes> red?", "--json"])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout.splitlines()[-1])["media"][0]["modality"] == "eyes"
