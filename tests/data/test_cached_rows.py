"""Training from cache must be training: the same loss and the same gradients as with pictures encoded in every step."""

from pathlib import Path
from typing import Any

import pytest
import torch

import runs
from midstream.building import build
from midstream.data.cached import CachedRows, collate
from midstream.data.sources import open_rows


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, list[Any]]:
    folder: Path = tmp_path_factory.mktemp("cached")
    recipe = runs.tiny_recipe(folder)
    model, processor = build(recipe)
    rows = list(open_rows(recipe.data, "train"))
    rows.append(
        {"messages": [{"role": "user", "content": "no picture?"}, {"role": "assistant", "content": "none at all"}]}
    )
    two = [part for row in rows[:2] for part in row["messages"][0]["content"]]
    rows.append({"messages": [{"role": "user", "content": two}, {"role": "assistant", "content": "red, green"}]})
    return model, processor, rows


def _loss_and_gradients(model: Any, batch: Any) -> list[torch.Tensor]:
    model.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    return [loss.detach(), *(tensor.grad.clone() for tensor in model.trained_tensors().values())]


@pytest.mark.parametrize("picked", [[0, 1, 2], [8, 0, 9], [8], [9, 3]], ids=str)
def test_cached_batches_train_alike(parts: Any, picked: list[int]) -> None:
    model, processor, rows = parts
    cached = CachedRows(rows, processor, model, batch_size=4)
    batch = collate([cached[i] for i in picked])
    direct = processor.training_batch([rows[i] for i in picked])
    if picked == [8]:  # no picture, nothing to train: the loss must agree all the same
        with torch.no_grad():
            torch.testing.assert_close(model(**batch).loss, model(**direct).loss)
        return
    torch.testing.assert_close(_loss_and_gradients(model, batch), _loss_and_gradients(model, direct))


def test_the_control_another_rows_features_change_the_loss(parts: Any) -> None:
    model, processor, rows = parts
    cached = CachedRows(rows, processor, model)
    swapped = {**cached[0], "image_features": cached[1]["image_features"]}
    with torch.no_grad():
        assert abs(model(**collate([cached[0]])).loss - model(**collate([swapped])).loss) > 1e-4


def test_progress_is_told(parts: Any) -> None:
    model, processor, rows = parts
    told: list[int] = []
    CachedRows(rows, processor, model, batch_size=4, progress=told.append)
    assert told == [4, 8, 10]
