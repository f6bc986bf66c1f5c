"""Grids: what they expand to, under which names, and what is said of bad ones."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import runs
from midstream.errors import InputError
from midstream.recipe import load_recipe, parse_recipe
from midstream.smoke import smoke
from midstream.sweep.cells import Cell, cells_of, chosen, joined
from midstream.sweep.grid import Evaluate, Grid, load_grid, shipped_grids

LAYER = "modalities.image.schedule.layer"


def grid_file(folder: Path, **tree: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"recipe": "deep_insert", **tree}, sort_keys=False))
    return path


def cells(folder: Path, overrides: list[str] | None = None, **tree: Any) -> list[Cell]:
    return cells_of(load_grid(grid_file(folder, **tree), overrides))


def test_every_axis_with_every_other_seed_by_seed(tmp_path: Path) -> None:
    found = cells(tmp_path, grid={LAYER: [0, 4], "fraction": [0.1, 1]}, seeds=[0, 3])
    assert [cell.name for cell in found] == [
        f"layer={layer},fraction={share},seed={seed}" for seed in (0, 3) for layer in (0, 4) for share in (0.1, 1)
    ]
    cell = found[4]
    assert cell.recipe.training.seed == 3 and cell.fraction == 0.1 and cell.method == "deep_insert"
    assert cell.recipe.modalities["image"].schedule.model_dump() == {"preset": "deep_insert", "layer": 0}
    assert cell.settings == {LAYER: 0, "fraction": 0.1}


def test_variants_change_several_things_at_once(tmp_path: Path) -> None:
    method = [
        {"name": "ep_alm", "recipe": "ep_alm"},
        {"name": "deep_insert@2", "recipe": "deep_insert", "set": {LAYER: 2, "training.steps": 7}},
    ]
    first, second = cells(tmp_path, set={"training.steps": 5, "training.lr": 1e-5}, grid={"method": method})
    assert (first.name, second.name) == ("ep_alm,seed=0", "deep_insert@2,seed=0")
    assert first.method == "ep_alm" and "prompt" in first.recipe.modalities and first.recipe.training.steps == 5
    assert second.recipe.training.steps == 7 and second.recipe.training.lr == 1e-5  # its own comes before all cells'
    assert second.recipe.modalities["image"].schedule.model_dump()["layer"] == 2


def test_recipes_are_an_axis(tmp_path: Path) -> None:
    found = cells(tmp_path, grid={"recipe": ["prepend", "deep_insert"]})
    assert [(cell.name, cell.method) for cell in found] == [
        ("prepend,seed=0", "prepend"),
        ("deep_insert,seed=0", "deep_insert"),
    ]
    assert found[0].recipe == load_recipe("prepend")


def test_names_stay_when_a_grid_grows_and_figures_depend_on_what_is_run(tmp_path: Path) -> None:
    small = cells(tmp_path, grid={LAYER: [4]})[0]
    grown = cells(tmp_path, grid={LAYER: [0, 4, 6]}, seeds=[0, 1])
    assert grown[1].name == small.name and grown[1].digest() == small.digest()
    assert len({cell.digest() for cell in grown}) == 6
    assert cells(tmp_path, grid={LAYER: [4]}, evaluate={"n": 7})[0].digest() != small.digest()


def test_a_fraction_is_of_the_scenes_or_of_the_rows(tmp_path: Path) -> None:
    shares = [0.001, 0.01, 0.1, 1]
    scenes = [cell.recipe.data.model_dump()["scenes"] for cell in cells(tmp_path, grid={"fraction": shares})]
    assert scenes == [6, 60, 600, 6000]
    files = smoke(parse_recipe(runs.recipe_tree(train="unused.jsonl")), tmp_path / "parts")  # 8 rows
    (tmp_path / "tiny.yaml").write_text(files.to_yaml())
    grid = {"recipe": str(tmp_path / "tiny.yaml"), "grid": {"fraction": [0.01, 0.5, 1]}}
    assert [cell.recipe.data.model_dump()["limit"] for cell in cells(tmp_path, **grid)] == [1, 4, None]
    with pytest.raises(InputError, match="a fraction of a stream"):
        cells(tmp_path, **grid, set={"data.streaming": True})


def test_a_variant_may_have_seeds_of_its_own(tmp_path: Path) -> None:
    variants = [{"name": "few"}, {"name": "many", "set": {LAYER: 2}, "seeds": [0, 1, 5]}, {"name": "none", "seeds": []}]
    names = [cell.name for cell in cells(tmp_path, grid={"method": variants}, seeds=[0, 1])]
    assert names == ["few,seed=0", "many,seed=0", "few,seed=1", "many,seed=1", "many,seed=5"]


def test_grids_share_a_table_and_what_both_ask_for_is_run_once(tmp_path: Path) -> None:
    def written(name: str, **tree: Any) -> Grid:
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(tree))
        return load_grid(tmp_path / f"{name}.yaml")

    few = written("few", recipe="deep_insert", grid={LAYER: [0, 4]})
    many = written("many", recipe="deep_insert", grid={LAYER: [4, 6]}, seeds=[0, 1])
    found = joined([few, many])
    assert [(cell.name, cell.grid) for cell in found] == [
        ("layer=0,seed=0", "few"), ("layer=4,seed=0", "few"), ("layer=6,seed=0", "many"), ("layer=4,seed=1", "many"),
        ("layer=6,seed=1", "many"),
    ]  # fmt: skip
    other = written("other", recipe="deep_insert", grid={LAYER: [4]}, set={"training.steps": 7})
    with pytest.raises(InputError, match="grids few and other both have a cell layer=4,seed=0, which is not the same"):
        joined([few, other])


@pytest.mark.parametrize("controls", [True, False, ["test"], []])
def test_controls_are_of_all_splits_or_of_those_that_are_named(controls: Any) -> None:
    wanted = Evaluate(splits=["test", "held_out"], controls=controls)
    expected = [bool(controls), bool(controls) and controls != ["test"]]
    assert [wanted.controlled(split) for split in wanted.splits] == expected
    assert [wanted.controlled(split, 3) for split in wanted.splits] == expected
    first = wanted.model_copy(update={"control_seeds": [0]})
    assert [first.controlled(split, 0) for split in wanted.splits] == expected
    assert not any(first.controlled(split, 3) for split in wanted.splits)


def test_set_changes_the_grid_or_every_recipe(tmp_path: Path) -> None:
    variants = {"method": [{"name": "slow", "set": {"training.steps": 900}}, {"name": "quick"}]}
    overrides = ["training.steps=2", "seeds=[5]", "evaluate.n=3", "grid.fraction=[0.5]"]
    found = cells(tmp_path, overrides, grid=variants)
    assert [cell.name for cell in found] == ["slow,fraction=0.5,seed=5", "quick,fraction=0.5,seed=5"]
    assert {cell.recipe.training.steps for cell in found} == {2} and found[0].evaluate.n == 3
    with pytest.raises(InputError, match=rf"{LAYER} is an axis of the grid; write --set grid\.{LAYER}=\[...\]"):
        cells(tmp_path, [f"{LAYER}=3"], grid={LAYER: [0, 1]})


def test_what_is_typed_leaves_a_control_a_control() -> None:
    found = {cell.name: cell.recipe for cell in cells_of(load_grid("controls", ["lm=pocket-deep", "training.lr=0.5"]))}
    assert found["random_lm@4,seed=0"].lm == "random:pocket-deep"
    assert found["noise@4,seed=0"].lm == "pocket-deep" and found["random_lm@4,seed=0"].training.lr == 0.5
    assert found["random_encoder@4,seed=0"].modalities["image"].encoder == "random:pocket"  # the control: not typed


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "typo": ({"seed": [0]}, r"unknown key `seed`; did you mean `seeds`\?"),
    "inner typo": ({"evaluate": {"split": ["test"]}}, r"unknown key `evaluate.split`; did you mean `evaluate.splits`"),
    "no values": ({"grid": {LAYER: []}}, rf"`grid.{LAYER}` is \[\]; list should have at least 1 item"),
    "one value": ({"grid": {LAYER: 4}}, rf"`grid.{LAYER}` is 4; .*list"),
    "no seeds": ({"seeds": []}, r"`seeds` is \[\]"),
    "share": ({"grid": {"fraction": [0.1, 3]}}, "`fraction` names 3; a fraction is above 0 and at most 1"),
    "recipe key": (
        {"grid": {"modalities.image.schedule.layr": [1]}},
        r"cell layr=1,seed=0: recipe deep_insert: unknown key .*did you mean `modalities.image.schedule.layer`",
    ),
    "recipe": ({"grid": {"recipe": ["prependd"]}}, r"cell prependd,seed=0: there is no recipe .*did you mean prepend"),
    "variant": ({"grid": {"method": [{"name": "a", "sets": {}}]}}, r"grid.method.0: unknown key `sets`; did you mean"),
    "no variant": ({"grid": {"layer": [0, 4]}}, r"grid mine: grid.layer.0: .*mapping|dictionary"),
    "twice": ({"seeds": [1, 1]}, "two cells are called seed=1"),
    "no recipe": ({"recipe": None}, "cell seed=0 has no recipe"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_grid_is_told_in_a_sentence(bad: str, tmp_path: Path) -> None:
    tree, said = BAD[bad]
    with pytest.raises(InputError, match=said) as refused:
        cells(tmp_path, **tree)
    assert "\n" not in str(refused.value)


def test_what_is_no_grid(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no grid 'dept', .*did you mean depth\?"):
        load_grid("dept")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(InputError, match="must be a mapping"):
        load_grid(tmp_path / "list.yaml")
    with pytest.raises(InputError, match="must look like"):
        load_grid("depth", ["steps"])


def test_cells_are_chosen_by_name_or_pattern(tmp_path: Path) -> None:
    found = cells(tmp_path, grid={LAYER: [0, 4]}, seeds=[0, 1])
    assert [cell.name for cell in chosen(found, "layer=4,*")] == ["layer=4,seed=0", "layer=4,seed=1"]
    assert chosen(found, "layer=0,seed=1") == [found[2]] and chosen(found, None) == found
    with pytest.raises(InputError, match=r"no cell 'layer=5,seed=0'; did you mean layer="):
        chosen(found, "layer=5,seed=0")


@pytest.mark.parametrize("name", shipped_grids())
def test_shipped_grids_expand(name: str) -> None:
    grid = load_grid(name)
    found = cells_of(grid)
    assert grid.description and len({cell.name for cell in found}) == len(found) > 1
    assert all(len(cell.name) < 200 for cell in found)


def test_the_depth_grid_is_every_layer_of_the_pocket_lm() -> None:
    found = [cell.recipe for cell in cells_of(load_grid("depth"))]
    entered = [(recipe.modalities["image"].schedule.model_dump()["layer"], recipe.training.seed) for recipe in found]
    expected = [(layer, seed) for layer in range(8) for seed in range(5 if layer in (0, 4) else 3)]
    assert sorted(entered) == expected  # the headline pair has two seeds more
