"""Recipes: what is read, what is refused, and in which words."""

import inspect
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from midstream import recipe
from midstream.building import build_model
from midstream.connectors import CONNECTORS
from midstream.errors import InputError
from midstream.presets import PRESETS, preset
from midstream.recipe import load_recipe, parse_recipe, shipped_names


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_recipes_read_and_round_trip(name: str) -> None:
    read = load_recipe(name)
    assert read.name == name and read.description
    assert parse_recipe(yaml.safe_load(read.to_yaml())) == read
    for modality in read.modalities.values():
        preset(modality.schedule.preset, **modality.schedule.model_dump(exclude={"preset"}))


def test_the_expected_recipes_ship() -> None:
    pocket = {"deep_insert", "prepend", "ep_alm", "best"}
    assert set(shipped_names()) >= pocket | {"opt27b_vit_vqav2", "qwen25_05b_siglip_llava", "llama7b_clip_deepinsert"}


def test_prepend_and_deep_insert_differ_in_the_schedule_only() -> None:
    plain = {"name", "description"}
    deep, front = (load_recipe(name).model_dump(exclude=plain) for name in ("deep_insert", "prepend"))
    assert deep != front
    deep["modalities"]["image"]["schedule"] = front["modalities"]["image"]["schedule"]
    assert deep == front


def _by_tag(union: Any, tag: str) -> dict[str, Any]:
    members = get_args(get_args(union)[0])
    return {get_args(member.model_fields[tag].annotation)[0]: member for member in members}


def test_every_preset_and_connector_has_settings_of_the_same_names() -> None:
    schedules = _by_tag(recipe.ScheduleSettings, "preset")
    assert {name: set(inspect.signature(make).parameters) for name, make in PRESETS.items()} == {
        name: set(model.model_fields) - {"preset"} for name, model in schedules.items()
    }
    connectors = _by_tag(recipe.Connector, "kind")
    given = {"encoder_width", "lm_width", "levels"}
    assert {name: set(inspect.signature(make).parameters) - given for name, make in CONNECTORS.items()} == {
        name: set(model.model_fields) - {"kind", "times"} for name, model in connectors.items()
    }


@pytest.mark.parametrize(
    ("settings", "drawn"),
    [
        ("{preset: fastv, layer: 2, fraction: 0.5}", "0#k#####"),
        ("{preset: shortv, layers: [3, 5, 6]}", "0##o#oo#"),
        ("{preset: vica, layers: [0, 1, 6]}", "0o____o."),
        ("{preset: pyramid_drop, layers: [2, 4], by: norm}", "0#k#k###"),
        ("{preset: custom, enter: 2, leave: 7, parked: [4], keeps: [[5, 0.5, even]]}", "..0#_k#."),
    ],
)
def test_routings_can_be_written_in_a_recipe(settings: str, drawn: str) -> None:
    changed = load_recipe("deep_insert", [f"modalities.image.schedule={settings}"])
    assert build_model(changed).engine.schedules["image"].draw(8) == drawn
    assert parse_recipe(yaml.safe_load(changed.to_yaml())) == changed


def test_overrides_are_yaml_values() -> None:
    changed = load_recipe(
        "deep_insert", ["training.lr=1e-4", "modalities.image.features={tokens: all}", "positions=shifted"]
    )
    assert changed.training.lr == 1e-4
    assert changed.modalities["image"].features.tokens == "all"
    assert changed.positions == "shifted"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.stepz=3", "unknown key `training.stepz`; did you mean `training.steps`?"),
        ("lr=3", "unknown key `lr`; did you mean `training.lr`?"),
        ("trainng.steps=3", "unknown key `trainng`; did you mean `training`?"),
        ("modalities.image.schedule.layr=3", "did you mean `modalities.image.schedule.layer`?"),
        ("modalities.image.connector.hiden=3", "did you mean `modalities.image.connector.hidden`?"),
        ("data.rows=3", "unknown key `data.rows`; the keys there are asked, describe, kind, questions, scenes, seed"),
        ("training.steps=many", "`training.steps` is 'many'; input should be a valid integer"),
        ("training.lr=-1", "`training.lr` is -1; input should be greater than 0"),
        ("training=3", "`training` is 3; it must be a mapping"),
        ("training={}", "`training.steps` is missing"),
        ("data={}", "`data.kind` is missing; it must be one of 'pocket', 'jsonl'"),
        (
            "modalities.image.schedule.preset=deepinsert",
            "schedule.preset` is 'deepinsert'; it must be one of 'prepend'",
        ),
        ("training.steps.x=3", "training.steps is a value, so it has no key 'x'"),
        ("steps", "must look like training.steps=100"),
        ("training.steps=[", "'[' is not a YAML value"),
    ],
)
def test_wrong_keys_and_types_are_told_in_one_sentence(override: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe("deep_insert", [override])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no recipe 'deepinsert'.*did you mean deep_insert\?"):
        load_recipe("deepinsert")
    with pytest.raises(InputError, match="shipped recipes are audio"):
        load_recipe("../recipes/xyz")
    broken = tmp_path / "broken.yaml"
    broken.write_text("lm: [")
    with pytest.raises(InputError, match="is not YAML"):
        load_recipe(broken)
    broken.write_text("just words")
    with pytest.raises(InputError, match="must be a mapping"):
        load_recipe(broken)


def test_reading_a_recipe_does_not_import_torch() -> None:
    import subprocess
    import sys

    code = "import sys; from midstream.recipe import load_recipe; load_recipe('best'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
