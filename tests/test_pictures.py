"""The picture of a schedule shows what it says: areas are tokens times layers."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor
from typer.testing import CliRunner

from midstream.cli import app
from midstream.errors import InputError
from midstream.pictures import COLOURS, WRITTEN, draw_schedules
from midstream.presets import deep_insert, deepstack, fastv, prepend, shortv
from midstream.schedule import Schedule

pytest.importorskip("matplotlib")


def _area(schedule: Schedule, colour: str, folder: Path) -> float:
    """Pixels of one colour in the picture of one schedule over eight layers."""
    draw_schedules({"image": schedule}, 8, folder / "schedule.png")
    pixels = np.asarray(Image.open(folder / "schedule.png").convert("RGB")).astype(int)
    return float((np.abs(pixels - ImageColor.getrgb(colour)).max(-1) < 8).sum())


def test_areas_are_tokens_times_layers(tmp_path: Path) -> None:
    active, read, added = COLOURS["active"], COLOURS["readable"], WRITTEN["add"]
    whole = _area(prepend(), active, tmp_path)
    assert _area(deep_insert(4), active, tmp_path) / whole == pytest.approx(0.49, abs=0.03)
    assert _area(fastv(4, 0.5), active, tmp_path) / whole == pytest.approx(0.74, abs=0.03)
    assert _area(shortv((4, 5, 6, 7)), active, tmp_path) / whole == pytest.approx(0.49, abs=0.03)
    assert _area(shortv((4, 5, 6, 7)), read, tmp_path) / whole == pytest.approx(0.51, abs=0.03)
    assert _area(prepend(), read, tmp_path) == _area(prepend(), added, tmp_path) == 0
    assert _area(deepstack(3), added, tmp_path) > 0


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="layer 9"):
        draw_schedules({"image": deep_insert(9)}, 8, tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.nonsense"):
        draw_schedules({"image": prepend()}, 8, tmp_path / "a.nonsense")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("source", ["pocket", "deep_insert", "opt27b_vit_vqav2"])
def test_info_draws(source: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["info", source, "--picture", str(tmp_path / "a.png")])
    assert result.exit_code == 0, result.output
    assert Image.open(tmp_path / "a.png").width > 200
