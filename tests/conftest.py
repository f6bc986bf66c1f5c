"""Settings for every test: no network, one thread, and the same examples each time."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from hypothesis import settings

torch.set_num_threads(1)  # tiny models: threads only wait for one another
settings.register_profile("midstream", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("midstream")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests first: begun last, one of them would leave the other process idle."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Each test begins from the same random state, whichever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a run keeps for the next one stays among the tests' own files."""
    cache: Path = tmp_path_factory.mktemp("cache")
    os.environ["MIDSTREAM_CACHE"] = str(cache)
