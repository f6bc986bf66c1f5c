"""The page about one's own modality, executed from top to bottom, and what such encoders promise beyond it."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from midstream import MidstreamForCausalLM, MidstreamProcessor, own
from midstream.cli import app
from midstream.errors import InputError
from pages import run_line

pytest.importorskip("matplotlib")
ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "own_modality.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which everything that the page shows has been run, in its order."""
    folder: Path = tmp_path_factory.mktemp("own")
    (folder / "examples").symlink_to(ROOT / "examples")
    with contextlib.chdir(folder):
        for language, code in BLOCKS:
            if language == "console":
                for line in code.splitlines():
                    run_line(line)
            elif language == "py" and "class Elevation" not in code:
                said = io.StringIO()
                with contextlib.redirect_stdout(said):
                    exec(compile(code, "own_modality.md", "exec"), {"__name__": "page"})
                assert said.getvalue().strip()
    return folder


def test_the_page_shows_the_file_that_is_run() -> None:
    shown = [code for language, code in BLOCKS if language == "py" and "class Elevation" in code]
    assert shown == [(ROOT / "examples" / "elevation.py").read_text()]
    lines = [line for line in shown[0].splitlines() if line.strip() and '"""' not in line]
    assert len(lines) <= 20


def test_every_command_and_snippet_of_the_page_runs(desk: Path) -> None:
    saved = json.loads((desk / "runs/copy/config.json").read_text())["modalities"]["elevation"]
    assert saved["encoder"] == "elevation"
    again = MidstreamForCausalLM.from_pretrained(desk / "runs/copy")
    first = MidstreamForCausalLM.from_pretrained(desk / "runs/elevation")
    trained = first.modalities["elevation"].connector.state_dict()
    copied = again.modalities["elevation"].connector.state_dict()
    assert trained and all(torch.equal(value, copied[name]) for name, value in trained.items())


def test_regions_share_no_height(desk: Path) -> None:
    corners = {
        path.stem: {tuple(map(int, json.loads(line)["id"][6:-4].split("-"))) for line in path.read_text().splitlines()}
        for path in (desk / "data/elevation").glob("*.jsonl")
    }
    assert set(corners) == {"train", "validation", "test"}
    spans = {split: (min(c for _, c in found), max(c for _, c in found) + 36) for split, found in corners.items()}
    assert spans["train"][1] <= spans["validation"][0] and spans["validation"][1] <= spans["test"][0]


def test_a_tile_of_another_shape_is_refused_in_the_classs_own_words(desk: Path) -> None:
    np.save(desk / "small.npy", np.zeros((4, 5)))
    plugin = str(desk / "examples/elevation.py")
    asked = ["ask", str(desk / "runs/elevation"), "--plugin", plugin, "where is the highest place?", "--media"]
    result = CliRunner().invoke(app, [*asked, f"elevation={desk / 'small.npy'}"])
    assert result.exit_code == 2 and "shape (4, 5); a tile is 36 x 36" in " ".join(result.output.split())
    corner = next((desk / "data/elevation/tiles").iterdir())
    assert CliRunner().invoke(app, [*asked, f"elevation={corner}"]).exit_code == 0  # control


def test_a_saved_model_says_which_plugin_it_misses(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(own._KNOWN, "elevation")
    with pytest.raises(InputError, match=r"elevation.*--plugin"):
        MidstreamProcessor.from_pretrained(desk / "runs/elevation")
    with pytest.raises(InputError, match="elevation"):
        MidstreamForCausalLM.from_pretrained(desk / "runs/elevation")


def test_two_items_of_two_shapes_are_named(desk: Path) -> None:
    class Anything(own.OwnEncoder):
        name, width = "anything", 2

        def preprocess(self, item: list[float]) -> torch.Tensor:
            return torch.tensor(item)

        def forward(self, values: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return values.unsqueeze(1)

    from midstream.preparing import OwnPreparer

    prepare = OwnPreparer.of(Anything(), "anything")
    assert prepare([[1.0, 2.0], [3.0, 4.0]])["values"].shape == (2, 2)
    with pytest.raises(InputError, match=r"\(2,\).*\(3,\).*one shape"):
        prepare([[1.0, 2.0], [1.0, 2.0, 3.0]])
