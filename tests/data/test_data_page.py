"""Every recipe in docs/data.md can be written in small and read; so no layout is documented that is not there."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

import runs
from midstream.data.rows import check_row
from midstream.data.sources import open_rows
from midstream.recipe import parse_recipe
from midstream.recipe.data import Data
from midstream.smoke import smoke

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
BLOCKS = [yaml.safe_load(block)["data"] for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("data", BLOCKS, ids=lambda data: data["kind"])
def test_documented_data_are_read(data: dict[str, Any], tmp_path: Path) -> None:
    medium = {"audiocaps": "audio", "msrvtt": "video"}.get(data["kind"], "image")
    tree = runs.recipe_tree(**data)
    tree |= {"lm": "pocket", "modalities": {medium: {"encoder": "pocket", "schedule": {"preset": "prepend"}}}}
    recipe = smoke(parse_recipe(tree), tmp_path)
    for split in ("train", "validation"):
        rows = open_rows(recipe.data, split, 3)
        assert [check_row(row, split) for row in rows] and len(rows) == 3


def test_every_kind_is_documented() -> None:
    kinds = {get_args(member.model_fields["kind"].annotation)[0] for member in get_args(get_args(Data)[0])}
    assert kinds - {"pocket"} == {data["kind"] for data in BLOCKS}
