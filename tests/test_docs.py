"""Every command and every snippet in the documentation is executed here, word for word.

Trainings get `--smoke` (they would take minutes) and the folder that the full run would have written.
"""

import re
import shlex
from pathlib import Path

import pytest
import soundfile
from PIL import Image
from typer.testing import CliRunner

from midstream import pocket
from midstream.cli import app
from midstream.pocket.sounds import render as sounds

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```(\w+)(?: \w+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[Path, str]]:
    return [(page, code) for page in PAGES for name, code in FENCE.findall(page.read_text()) if name == language]


def commands() -> list[str]:
    """Every line of every bash block, continuation lines joined."""
    lines = [line for _, code in blocks("bash") for line in code.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.strip() and not line.startswith("#")]


def as_smoke(arguments: list[str]) -> list[str]:
    if arguments[0] == "demo":
        return [*arguments, "--smoke"]
    if arguments[0] != "train":
        return arguments
    return [*arguments, "--smoke", *([] if "--out" in arguments else ["--out", f"runs/{arguments[1]}"])]


def test_the_control_there_is_something_to_run() -> None:
    assert len(commands()) >= 10 and len(blocks("python")) >= 3
    known = ("midstream ", "make ")
    assert [line for line in commands() if not line.startswith(known)] == []


def test_make_targets_exist() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"make ([a-z]+)", " ".join(line for line in commands() if line.startswith("make ")))
    assert {"demo", "test", *named} <= set(targets)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with the pictures, the sound and the results that the docs speak of."""
    folder: Path = tmp_path_factory.mktemp("docs")
    (folder / "results").mkdir()
    (folder / "results" / "evidence.parquet").symlink_to(ROOT / "results" / "evidence.parquet")
    soundfile.write(folder / "scene.wav", sounds.render(pocket.scene_of("test", 0)), sounds.RATE)
    for name, colour in [("photo", "red"), ("a", "green"), ("b", "blue")]:
        Image.new("RGB", (64, 64), colour).save(folder / f"{name}.png")
    return folder


@pytest.mark.slow
def test_commands_run_in_the_order_of_the_page(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    for line in commands():
        program, *arguments = shlex.split(line)
        if program == "midstream":
            result = CliRunner().invoke(app, as_smoke(arguments))
            assert result.exit_code == 0, f"{line}\n{result.output}"
            assert result.stdout.strip(), line


@pytest.mark.parametrize(("page", "code"), blocks("python"), ids=lambda value: getattr(value, "name", "code"))
def test_snippets_run(page: Path, code: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    exec(compile(code, str(page), "exec"), {"__name__": "__main__"})


def test_no_page_names_a_file_that_is_not_there() -> None:
    for page in PAGES:
        for name in re.findall(r"`((?:docs|tests|src|recipes|benchmarks)/[\w/.-]+\.\w+)`", page.read_text()):
            assert (ROOT / name).exists(), f"{page.name} names {name}"
