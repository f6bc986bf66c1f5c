"""Names and spellings: what a command line may say, and the sentence it gets when it says something else."""

import json
from pathlib import Path

import pytest

import runs
from midstream.cost.comparison import ENTRY_0, OWN, TEXT_ONLY, Given, chosen, compare
from midstream.cost.ledger import Work
from midstream.cost.shapes import read_shape
from midstream.cost.sources import find, find_config, known_names, on_meta
from midstream.cost.spelling import spell
from midstream.errors import InputError
from midstream.own import is_known
from midstream.presets import PRESETS, deep_insert, ep_alm, fastv, pyramid_drop, shortv, vica, window
from midstream.recipe import load_recipe, shipped_names
from midstream.schedule import Schedule
from midstream.testing import tiny_lm

PARAMETERS = {
    "opt-125m": 125_239_296,
    "opt-350m": 331_196_416,
    "opt-2.7b": 2_651_596_800,
    "llama-7b": 6_738_415_616,
    "llama-70b": 68_976_648_192,
    "llama-3.1-8b": 8_030_261_248,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-7b": 7_615_616_512,
    "mistral-7b": 7_241_732_096,
    "mixtral-8x7b": 46_702_792_704,
}
"""As the published checkpoints have."""


@pytest.mark.parametrize("name", known_names("lm"))
def test_known_shapes_are_true_to_size(name: str) -> None:
    shape = read_shape(on_meta(find(name).lm))
    assert shape.parameters == PARAMETERS.get(name, shape.parameters)
    assert all(layer.score_width and layer.cache_width for layer in shape.layers)


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_recipe_can_be_counted_without_a_network(name: str) -> None:
    if any(is_known(part.encoder) for part in load_recipe(name).modalities.values()):
        with pytest.raises(InputError, match=r"encoder of your own.*--tokens and --width"):
            chosen(name, None)
        return
    source, senses, compared = chosen(name, None)
    rows = compare(read_shape(on_meta(source.lm)), senses, compared, Work())
    assert [row["schedule"] for row in rows] == [ENTRY_0, OWN, TEXT_ONLY]
    assert rows[0]["prefill"] >= rows[1]["prefill"] > rows[2]["prefill"]
    assert rows[1]["connector_parameters"] > 0 and rows[2]["tokens"] == {}


def test_a_trained_model_a_folder_and_a_file(tmp_path: Path) -> None:
    lm = tiny_lm("llama")
    lm.save_pretrained(tmp_path / "lm")
    (tmp_path / "shape.json").write_text(json.dumps(lm.config.to_dict()))
    for name in (str(tmp_path / "lm"), str(tmp_path / "shape.json")):
        assert read_shape(on_meta(find(name).lm)) == read_shape(lm)
    assert find("pocket").senses["image"].schedule.enter == 2
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(runs.tiny_recipe(tmp_path / "parts").to_yaml())
    assert set(find(str(recipe)).senses) == {"image"}


def test_spellings() -> None:
    assert spell("deep_insert:L/2", 32) == deep_insert(16) == spell("deep_insert:16", 32)
    assert spell("deep_insert:3L/8", 32) == deep_insert(12)
    assert spell("window:4:L", 32) == window(4, 32)
    assert spell("ep_alm:19:30:6", 32) == ep_alm(19, 30, 6)
    assert spell("fastv:2:0.25:norm", 32) == fastv(2, 0.25, "norm")
    assert spell("pyramid_drop:L/4,L/2,3L/4", 32) == pyramid_drop((8, 16, 24))
    assert spell("shortv:3", 8) == shortv((3,)) and spell("vica:0,1,6", 8) == vica((0, 1, 6))
    wanted = Schedule(2, 5, name="mine")
    assert spell(json.dumps(wanted.to_dict()), 8) == wanted
    assert spell("deep_insert:4", 8) != spell("deep_insert:5", 8)
    assert "prepend" in PRESETS and spell("prepend", 8).enter == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("deep_inser:4", "unknown schedule 'deep_inser'"),
        ("deep_insert", "is not deep_insert:LAYER"),
        ("deep_insert:4:5", "is not deep_insert:LAYER"),
        ("deep_insert:4,5", "several values, '4,5', for one layer"),
        ("deep_insert:x", "'x' in schedule 'deep_insert:x' is neither"),
        ("deep_insert:9", "layers 0..7"),
        ("fastv:2:1.5", r"must be in \(0, 1\]"),
        ("{nonsense", "is not JSON"),
    ],
)
def test_what_is_no_schedule_is_told(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        spell(text, 8)


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"did you mean llama-7b\?"):
        find("lama-7b")
    with pytest.raises(InputError, match="did you mean clip-vit"):
        find_config("clip-vit-l-14", "encoder")
    for content, said in (("[1", "not a JSON object"), ("{}", "names no model_type"), ('{"model_type": "x"}', "x")):
        (tmp_path / "wrong.json").write_text(content)
        with pytest.raises(InputError, match=said):
            find(str(tmp_path / "wrong.json"))
    with pytest.raises(InputError, match="tokens is 0"):
        Given(0)
    with pytest.raises(InputError, match="encoders of its own"):
        chosen("pocket", None, encoder="pocket")


def test_more_levels_than_the_features_have_are_refused() -> None:
    source, senses, compared = chosen("pocket", ["ep_alm:2:5:2"])
    rows = compare(read_shape(on_meta(source.lm)), senses, compared, Work())
    assert rows[2]["connector"] == 2 * rows[1]["connector"]  # two encoder layers are read, so two levels come out
    with pytest.raises(InputError, match="writes 2 levels, but a resampler connector gives 1"):
        source, senses, compared = chosen("llama-7b", ["ep_alm:2:5:2"], "resampler")
        compare(read_shape(on_meta(source.lm)), senses, compared, Work())
