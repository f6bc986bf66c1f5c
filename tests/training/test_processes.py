"""Two processes that train together: they share the work of the cache, and it changes no bit of what they train."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import runs

SCRIPT = """
import os, sys
from functools import partial
from pathlib import Path
from midstream import connector_trainer, training
from midstream.cache import building
from midstream.recipe import load_recipe

here, rank = Path(sys.argv[1]), os.environ["RANK"]
write = building.write_shard
def noted(folder, number, *rest):
    (here / f"shard-{number}-by-{rank}").touch()
    write(folder, number, *rest)
building.write_shard = noted
connector_trainer.cached = partial(connector_trainer.cached, shard_bytes=4000)
for cache in ("none", "states"):
    training.train(load_recipe(here / "recipe.yaml", [f"training.cache={cache}"]), here / cache)
"""


@pytest.mark.slow
def test_two_processes_share_the_cache_and_train_as_without_it(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(runs.tiny_recipe(tmp_path / "parts", batch_size=2).to_yaml())
    (tmp_path / "script.py").write_text(SCRIPT)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, str(tmp_path / "script.py"), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MIDSTREAM_CACHE": str(tmp_path / "kept")},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name for path in tmp_path.glob("shard-*")} == {f"shard-{n}-by-{n % 2}" for n in range(4)}
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("states", "none"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not list(tmp_path.glob("*.partial"))
