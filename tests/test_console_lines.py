"""The `console` lines of the documentation: run here, or in a test of their page's own.

What takes hours or several machines is read by the program that it names, which knows every option and its values.
"""

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from midstream.cli import app
from midstream.pocket import pretrain
from midstream.recipe import load_recipe
from pages import run_line

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```(\w+)(?: \w+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(python benchmarks/[^`]+\.py [^`]+)`")
OF_THEIR_OWN = {"own_modality.md": "test_own_modality.py", "real_data.md": "data/test_sklearn_rows.py"}
"""Pages whose lines another test runs from top to bottom."""


def console() -> list[tuple[Path, str, str]]:
    """(page, command, what is printed below it); in a block without `$` every line is a command."""
    found: list[tuple[Path, str, str]] = []
    for page in PAGES:
        for language, code in FENCE.findall(page.read_text()):
            if language == "console" and page.name not in OF_THEIR_OWN:
                marked = code if code.startswith("$ ") else re.sub("^", "$ ", code, flags=re.MULTILINE)
                pieces = re.split(r"^\$ ", marked, flags=re.MULTILINE)
                found += [(page, *piece.partition("\n")[::2]) for piece in pieces if piece.strip()]
    return found


def inline() -> list[str]:
    """`python benchmarks/...` lines in the text of a page."""
    return [" ".join(line.split()) for page in PAGES for line in INLINE.findall(FENCE.sub("", page.read_text()))]


def read(command: Any, words: list[str]) -> dict[str, Any]:
    """What a command reads in its words, which are to be complete; nothing is run."""
    commands = getattr(command, "commands", None)
    if commands is None:
        return command.make_context(command.name, list(words)).params
    return read(commands[words[0]], words[1:])


def read_script(words: list[str]) -> dict[str, Any]:
    """The same for `benchmarks/NAME.py ...`."""
    names = runpy.run_path(str(ROOT / words[0]))
    single = typer.Typer()
    single.command()(names.get("main"))
    given = read(typer.main.get_command(names.get("app", single)), words[1:])
    if words[0].endswith("pocket_worlds.py"):
        load_recipe(given["recipe"], given["changes"] or [])
    return given


def commands(program: str) -> list[str]:
    return [command for _, command, _ in console() if command.startswith(program)]


RUN = ("midstream ", "python tests/media/fuzz.py ")
READ = ("python benchmarks/", "python -m midstream.pocket.pretrain ", "torchrun ", "accelerate launch ")


def test_there_is_no_line_that_nobody_runs() -> None:
    assert len(console()) >= 9 and len(inline()) >= 5
    assert [command for _, command, _ in console() if not command.startswith((*RUN, *READ))] == []
    for page, test in OF_THEIR_OWN.items():
        assert page in (ROOT / "tests" / test).read_text()
    named = {re.split(r"[/.]", line)[1] for line in (*commands("python benchmarks/"), *inline())}
    runs = "".join(path.read_text() for path in (ROOT / "tests").glob("*/test_*.py"))
    assert sorted(name for name in named if f'"{name}"' not in runs) == []


def test_what_midstream_is_shown_to_print_it_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = [(page, command, printed) for page, command, printed in console() if command.startswith("midstream ")]
    assert shown
    for page, command, printed in shown:
        code = next(code for language, code in FENCE.findall(page.read_text()) if language == "python")
        exec(compile(code, str(page), "exec"), {"__name__": "page"})  # it writes the file that is asked about
        assert printed and run_line(command) == printed
        *words, _ = shlex.split(command)
        assert run_line(shlex.join([*words, "how many high lines are there?"])) != printed  # the control


def test_the_fuzzer_runs_as_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    for command in commands("python tests/media/fuzz.py "):
        words = shlex.split(command, comments=True)[1:]
        words += ["--cases", "1", "--only", "png,mp4,npz"] if "--cases" in words else []
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and done.stdout.strip(), f"{command}\n{done.stderr}"
    assert {path.name for path in tmp_path.iterdir()} == {"tests", "fuzz.json", "case_mp4_4711"}


@pytest.mark.parametrize("line", [*commands("python benchmarks/"), *inline()])
def test_benchmark_scripts_take_what_the_pages_say(line: str) -> None:
    read_script(shlex.split(line)[1:])


@pytest.mark.parametrize("line", commands("python -m midstream.pocket.pretrain "))
def test_pretraining_takes_what_the_pages_say(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)[3:]
    assert pretrain.main([*words, "--minutes", "0"]) == 2 and "--minutes must be above 0" in capsys.readouterr().err


@pytest.mark.parametrize("line", [*commands("torchrun "), *commands("accelerate launch ")])
def test_what_several_processes_run_is_a_command(line: str) -> None:
    _, words = line.split(" -m midstream ")
    read(typer.main.get_command(app), shlex.split(words))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("benchmarks/pocket_worlds.py audio --depths 2", "--depths"),
        ("benchmarks/pocket_worlds.py sounds", "sounds"),
        ("benchmarks/pocket_worlds.py audio --n many", "valid integer"),
        ("benchmarks/cache_equality.py", "out"),
        ("benchmarks/evidence.py figures", "figures"),
        ("benchmarks/nothing.py", "nothing"),
    ],
)
def test_the_control_a_line_that_its_program_does_not_take(line: str, words: str) -> None:
    with pytest.raises(Exception, match=words):
        read_script(line.split())
