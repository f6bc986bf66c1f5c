"""Cached batches must be the batches: the same tensors, the same loss and gradients, bit for bit, in one thread."""

from pathlib import Path
from typing import Any

import pytest
import torch

import runs
from midstream.building import build
from midstream.cache.building import cached
from midstream.cache.items import COLUMNS, FILL, STATES, collate, constants, entry_layer, split
from midstream.cache.shards import CachedRows
from midstream.data.sources import open_rows
from midstream.engine.skipping import known

PICKED = ([0, 1, 2], [8, 0, 9], [8, 8], [9, 3], [5])


def _said(question: Any, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.fixture(scope="module", params=["merged", "shifted"])
def parts(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, list[Any], Path]:
    """A model, its processor and ten rows: one picture, none, two; of one length and of another."""
    folder: Path = tmp_path_factory.mktemp("cached")
    tree = runs.tiny_recipe(folder).model_dump(mode="json") | {"positions": request.param}
    recipe = runs.parse_recipe(tree)
    model, processor = build(recipe)
    with torch.no_grad():
        for parameter in model.lm.parameters():
            parameter.mul_(5)  # a fresh LM attends to everything alike and would hide what is misplaced
    rows = list(open_rows(recipe.data, "train"))
    two = [part for row in rows[:2] for part in row["messages"][0]["content"]]
    rows += [_said("no picture? " * 12, "none at all"), _said(two, "red, green")]
    return model, processor, rows, folder


def _loss_and_gradients(model: Any, batch: Any) -> list[torch.Tensor]:
    model.zero_grad()
    states = batch.pop(STATES, None)
    if states is None:
        loss = model(**batch).loss
    else:
        with known(model.engine, model.lm, entry_layer(model), states):
            loss = model(**batch).loss
    if loss.requires_grad:
        loss.backward()
    return [loss.detach(), *(t.grad.clone() for t in model.trained_tensors().values() if t.grad is not None)]


def _cache(parts: Any, kind: Any, **options: Any) -> CachedRows:
    model, processor, rows, folder = parts
    return cached(rows, model, processor, kind, folder / f"{kind}{sorted(options)}", batch_size=3, **options)


def same(found: list[torch.Tensor], expected: list[torch.Tensor]) -> bool:
    return len(found) == len(expected) and all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("picked", PICKED, ids=str)
@pytest.mark.parametrize("kind", ["features", "states"])
def test_cached_batches_train_alike_bit_for_bit(parts: Any, kind: Any, picked: list[int]) -> None:
    model, processor, rows, _ = parts
    stored = _cache(parts, kind, shard_bytes=1)
    batch = collate([stored[i] for i in picked])
    direct = dict(processor.training_batch([rows[i] for i in picked], COLUMNS))
    assert {key for key in batch if "_" in key and "image" in key} == (
        {"image_slots", "image_features"} if "image_slots" in direct else set()
    )
    real = direct["attention_mask"].bool()
    assert torch.equal(batch["input_ids"][real], direct["input_ids"][real])
    assert all(
        torch.equal(batch[key], direct[key]) for key in ("attention_mask", "labels", "image_slots") if key in direct
    )
    assert same(_loss_and_gradients(model, batch), _loss_and_gradients(model, direct))


@pytest.mark.parametrize("key", ["image_features", STATES])
def test_the_control_another_rows_constants_change_the_loss(parts: Any, key: str) -> None:
    model, *_ = parts
    stored = _cache(parts, "states")
    swapped = {**stored[0], key: stored[1][key]}
    if key == STATES:
        swapped[key] = stored[0][key].flip(0)
    assert not same(_loss_and_gradients(model, collate([stored[0]])), _loss_and_gradients(model, collate([swapped])))


def test_states_do_not_depend_on_who_shares_the_batch(parts: Any) -> None:
    model, processor, rows, _ = parts
    *_, long = short = sorted(rows, key=lambda row: processor.training_batch([row])["input_ids"].shape[1])

    def states(batch: Any) -> torch.Tensor:
        return split(constants(batch, model, True))[0][STATES]

    alone, together = (
        processor.training_batch(short[:1], COLUMNS),
        processor.training_batch([short[0], long], COLUMNS),
    )
    assert alone["input_ids"].shape[1] < together["input_ids"].shape[1]
    assert torch.equal(states(alone), states(together))
    odd = processor.training_batch(short[:1]), processor.training_batch([short[0], long])
    torch.testing.assert_close(states(odd[0]), states(odd[1]), rtol=1e-3, atol=1e-4)  # nearly, without the rounding up


def test_half_the_bytes_move_the_loss_by_little(parts: Any) -> None:
    model = parts[0]
    half = _cache(parts, "states", stored_as=torch.bfloat16)
    assert half[0][STATES].dtype == half[0]["image_features"].dtype == torch.bfloat16
    whole = _cache(parts, "states")
    losses = [_loss_and_gradients(model, collate([cache[i] for i in range(4)]))[0] for cache in (half, whole)]
    assert losses[0] != losses[1]
    torch.testing.assert_close(losses[0], losses[1], rtol=2e-2, atol=0)


def test_items_are_rows_without_padding(parts: Any) -> None:
    rows, stored = parts[2], _cache(parts, "states")
    assert len(stored) == len(rows) and "image_slots" not in stored[8] and len(stored[9]["image_slots"]) == 2
    for item in stored:
        assert len({len(item[key]) for key in FILL}) == 1
    with pytest.raises(IndexError):
        stored[len(rows)]
