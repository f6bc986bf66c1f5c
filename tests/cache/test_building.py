"""A cache on disk: killed and gone on with, stale and refused, too large and not begun, not constant and not kept."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch

import runs
from midstream.building import build
from midstream.cache.building import cached
from midstream.cache.shards import CachedRows, shard_path
from midstream.data.sources import open_rows
from midstream.errors import InputError
from midstream.recipe import parse_recipe

BYTES = 4000
"""A shard of two of the eight rows."""


@pytest.fixture
def recipe(tmp_path: Path) -> Any:
    return runs.tiny_recipe(tmp_path / "parts")


def changed(recipe: Any, **keys: Any) -> Any:
    """The recipe with `section__key=value` written into it."""
    tree = recipe.model_dump(mode="json")
    for key, value in keys.items():
        *parents, last = key.split("__")
        node = tree
        for parent in parents:
            node = node[parent]
        node[last] = value
    return parse_recipe(tree)


def make(
    recipe: Any, folder: Path | None, kind: Any = "states", model: Any = None, rows: Any = None, **options: Any
) -> CachedRows:
    built, processor = build(recipe)
    settings = {"batch_size": 2, "shard_bytes": BYTES} | options
    return cached(rows or open_rows(recipe.data, "train"), model or built, processor, kind, folder, **settings)


def assert_equal(one: CachedRows, other: CachedRows) -> None:
    assert len(one) == len(other)
    for ours, theirs in zip(one, other, strict=True):
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def shards(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}


@pytest.mark.slow
def test_kill_9_keeps_finished_shards(recipe: Any, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
    code = f"""
import time
from pathlib import Path
import test_building as here
from midstream.cache import building, shards
from midstream.recipe import load_recipe
save = shards.save_file
def slow(tensors, path, metadata):
    if "00002" in path.name:
        path.write_bytes(b"half a shard")
        print("two shards", flush=True)
        time.sleep(60)
    save(tensors, path, metadata)
shards.save_file = slow
here.make(load_recipe({str(tmp_path / "recipe.yaml")!r}), Path({str(tmp_path / "cache")!r}))
"""
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(runs.__file__).parent)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == "two shards\n"
        process.send_signal(signal.SIGKILL)
    before = shards(tmp_path / "cache")
    assert set(before) == {"00000.safetensors", "00001.safetensors"} and list((tmp_path / "cache").glob("*.part"))
    told: list[int] = []
    again = make(recipe, tmp_path / "cache", report=lambda stage, done, total, note: told.append(done))
    assert told == [6, 8], "finished shards are not computed again"
    after = shards(tmp_path / "cache")
    assert {name: after[name] for name in before} == before and len(after) == 4
    assert not list((tmp_path / "cache").glob("*.part"))
    assert_equal(again, make(recipe, tmp_path / "straight"))


def test_a_damaged_or_missing_shard_is_made_again(recipe: Any, tmp_path: Path) -> None:
    whole = [dict(item) for item in make(recipe, tmp_path / "cache")]
    first, second = shard_path(tmp_path / "cache", 0), shard_path(tmp_path / "cache", 1)
    content = first.read_bytes()
    first.unlink()
    first.write_bytes(content[:-10])
    second.unlink()
    for ours, theirs in zip(make(recipe, tmp_path / "cache"), whole, strict=True):
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_finished_cache_is_read_and_not_made(recipe: Any, tmp_path: Path) -> None:
    make(recipe, tmp_path / "cache")
    before, told = shards(tmp_path / "cache"), list[int]()
    make(recipe, tmp_path / "cache", report=lambda stage, done, total, note: told.append(done))
    assert shards(tmp_path / "cache") == before and not told


STALE: dict[str, tuple[dict[str, Any], str]] = {
    "entry layer": ({"modalities__image__schedule__layer": 1}, "entry layer 2, this run has 1"),
    "features": ({"modalities__image__features__tokens": "cls"}, "image features .*patches.*, this run has .*cls"),
    "positions": ({"positions": "shifted"}, "positions merged, this run has shifted"),
    "tokens": ({"modalities__image__connector": {"kind": "resampler", "queries": 3}}, "image tokens per slot 4, .* 3"),
    "data": ({"data__limit": 6}, "data 8 rows, .*, this run has 6 rows"),
    "precision": ({"training__precision": "bfloat16"}, "language model .*float32.*, this run has .*bfloat16"),
}


@pytest.mark.parametrize("what", STALE)
def test_a_stale_cache_is_refused_and_named_and_replaced_on_demand(what: str, recipe: Any, tmp_path: Path) -> None:
    make(recipe, tmp_path / "cache")
    before = shards(tmp_path / "cache")
    keys, said = STALE[what]
    with pytest.raises(InputError, match=f"made with {said}.*--rebuild-cache.*--cache-dir"):
        make(changed(recipe, **keys), tmp_path / "cache")
    assert shards(tmp_path / "cache") == before
    make(changed(recipe, **keys), tmp_path / "cache", rebuild=True)
    with pytest.raises(InputError, match="made with"):
        make(recipe, tmp_path / "cache")


@pytest.mark.parametrize("part", ["lm", "modalities__image__encoder"])
def test_other_weights_are_another_cache(part: str, recipe: Any, tmp_path: Path) -> None:
    make(recipe, tmp_path / "cache")
    there = Path(recipe.lm if part == "lm" else recipe.modalities["image"].encoder)
    shutil.copytree(there, tmp_path / "other")
    from safetensors.torch import load_file, save_file

    weights = load_file(there / "model.safetensors")
    save_file(
        {key: value * 1.01 for key, value in weights.items()},
        tmp_path / "other" / "model.safetensors",
        {"format": "pt"},
    )
    named = "language model" if part == "lm" else "image encoder"
    with pytest.raises(InputError, match=f"made with {named} .*weights"):
        make(changed(recipe, **{part: str(tmp_path / "other")}), tmp_path / "cache")


def test_other_libraries_and_other_texts_are_another_cache(recipe: Any, tmp_path: Path, monkeypatch: Any) -> None:
    from midstream.cache import origin

    make(recipe, tmp_path / "cache", "features")
    rows = list(open_rows(recipe.data, "train"))
    rows[3]["messages"][1]["content"] = "mauve"
    with pytest.raises(InputError, match="made with data 8 rows"):
        make(recipe, tmp_path / "cache", "features", rows=rows)
    real = origin.version
    monkeypatch.setattr(origin, "version", lambda name: "0.1" if name == "torch" else real(name))
    with pytest.raises(InputError, match=r"made with torch .*, this run has 0\.1;"):
        make(recipe, tmp_path / "cache", "features")


def test_another_template_and_another_picture_are_another_cache(recipe: Any, tmp_path: Path) -> None:
    model, processor = build(recipe)
    rows = open_rows(recipe.data, "train")
    cached(rows, model, processor, "features", tmp_path / "cache")
    processor.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} - {% endfor %}"
    with pytest.raises(InputError, match="made with processor"):
        cached(rows, model, processor, "features", tmp_path / "cache")
    picture = Path(rows[3]["messages"][0]["content"][0]["image"])
    shutil.copy(rows[2]["messages"][0]["content"][0]["image"], picture)
    with pytest.raises(InputError, match="made with data"):
        make(recipe, tmp_path / "cache", "features")


def test_the_control_features_know_no_schedule_and_no_language_model(recipe: Any, tmp_path: Path) -> None:
    first = make(recipe, tmp_path / "cache", "features")
    other = changed(recipe, modalities__image__schedule__layer=1, positions="shifted", training__lr=0.5)
    assert_equal(make(other, tmp_path / "cache", "features"), first)


def test_by_default_each_origin_has_a_folder_of_its_own(recipe: Any) -> None:
    first = make(recipe, None, "features", name="mine")
    assert make(recipe, None, "features", name="mine").folder == first.folder
    assert first.folder.parent == Path(os.environ["MIDSTREAM_CACHE"]) and first.folder.name.startswith("mine-features-")
    folders = {make(changed(recipe, modalities__image__schedule__layer=n), None, name="mine").folder for n in (1, 2)}
    assert len({first.folder, *folders}) == 3


def test_a_cache_that_does_not_fit_is_not_begun(recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2000, 1000, 1000))
    with pytest.raises(InputError, match=r"needs \d+(\.\d+)? kB \(8 rows of .*\), but .* has 1 kB free; .*--cache-dir"):
        make(recipe, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_the_estimate_is_what_is_written(recipe: Any, tmp_path: Path) -> None:
    from midstream.cache.origin import origin

    model, processor = build(recipe)
    rows = open_rows(recipe.data, "train")
    for stored_as in (None, torch.bfloat16):
        _, per_row = origin("states", model, processor, rows, stored_as)
        written = make(recipe, tmp_path / str(stored_as), stored_as=stored_as, shard_bytes=10**6)
        size = sum(tensor.nbytes for item in written for tensor in item.values())
        assert per_row * 7.9 < size <= per_row * 8


def test_a_full_disk_keeps_what_is_finished(recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from midstream.cache import shards as files

    save = files.save_file

    def fill(tensors: Any, path: Path, metadata: Any) -> None:
        if "00002" in path.name:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(tensors, path, metadata)

    with monkeypatch.context() as patch:
        patch.setattr(files, "save_file", fill)
        with pytest.raises(InputError, match=r"No space left.*is kept.*free some space"):
            make(recipe, tmp_path / "cache")
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {
        *("origin.json", "00000.safetensors", "00001.safetensors")
    }
    assert len(make(recipe, tmp_path / "cache")) == 8


def test_someone_elses_folder_is_left_alone(recipe: Any, tmp_path: Path) -> None:
    (tmp_path / "holidays").mkdir()
    (tmp_path / "holidays" / "beach.jpg").touch()
    with pytest.raises(InputError, match="holds something else than a cache"):
        make(recipe, tmp_path / "holidays", rebuild=True)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write to"):
        make(recipe, tmp_path / "file" / "cache")


def test_what_is_not_constant_is_refused_with_the_reason(recipe: Any, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    front = changed(recipe, modalities__image__schedule={"preset": "prepend"})
    with pytest.raises(InputError, match=r"tokens of image enter at layer 0, .*--cache features"):
        make(front, folder)
    soft = {"encoder": "soft_prompt", "connector": {"kind": "soft_prompt"}, "schedule": {"preset": "soft_prompt"}}
    with pytest.raises(InputError, match="learned vectors of prompt enter at layer 0"):
        make(changed(recipe, modalities__prompt=soft), folder)
    with pytest.raises(InputError, match=r"a stream: .*--cache none"):
        make(recipe, folder, rows=iter(open_rows(recipe.data, "train")))
    with pytest.raises(InputError, match="no rows"):
        cached([], *build(recipe), "features", folder)
    model, _ = build(recipe)
    model.engine.anatomy.layers[1].mlp.up_proj.weight.requires_grad_(True)  # what LoRA does to a layer
    with pytest.raises(InputError, match=r"mlp.up_proj.weight in layer 1 is trained, .* entry layer 2"):
        make(recipe, folder, model=model)
    make(recipe, folder, "features", model=model)
    model.engine.anatomy.layers[1].mlp.up_proj.weight.requires_grad_(False)
    model.engine.anatomy.layers[2].mlp.up_proj.weight.requires_grad_(True)  # above the entry it may
    make(recipe, tmp_path / "above", model=model)
    next(model.modalities["image"].encoder.parameters()).requires_grad_(True)
    with pytest.raises(InputError, match="the image encoder is trained"):
        make(recipe, folder, "features", model=model)


def test_augmentation_is_noticed(recipe: Any, tmp_path: Path) -> None:
    model, processor = build(recipe)
    whole = processor.processors["image"]

    def noisy(*args: Any, **kwargs: Any) -> Any:
        made = whole(*args, **kwargs)
        return made | {"pixel_values": made["pixel_values"] + torch.randn(()) * 0.1}

    processor.processors["image"] = noisy
    with pytest.raises(InputError, match=r"augmentation.*--cache none"):
        cached(open_rows(recipe.data, "train"), model, processor, "features", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_what_is_on_disk_says_what_it_is(recipe: Any, tmp_path: Path) -> None:
    make(recipe, tmp_path / "cache")
    facts = json.loads((tmp_path / "cache" / "origin.json").read_text())["facts"]
    assert {"cache of", "data", "processor", "image encoder", "language model", "entry layer", "torch"} <= set(facts)
