"""The pocket LM's relatives: heads that look back wherever a row begins, and layers that come from layers."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from midstream import pocket
from midstream.pocket import lm_others
from midstream.pocket.lm_loss import ROW_TOKENS
from midstream.pocket.lm_shape import LOOKS_BACK, build_model


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(pocket.lm_path())


def farthest(model: Any, ids: torch.Tensor, first: int) -> list[list[int]]:
    """For the first layers, how many tokens back each head looks most."""
    positions = torch.arange(ids.shape[1])[None] + first
    with torch.no_grad():
        seen = model.eval()(input_ids=ids, position_ids=positions, output_attentions=True).attentions
    return [
        [max(range(9), key=lambda back: float(head.diagonal(-back)[8:].mean())) for head in layer[0]]
        for layer in seen[: len(LOOKS_BACK)]
    ]


@pytest.mark.parametrize("first", [0, 200])
def test_the_heads_of_an_untrained_opt_look_back_as_they_should(tokenizer: Any, first: int) -> None:
    torch.manual_seed(0)
    model = lm_others.opt(tokenizer)
    ids = torch.randint(10, len(tokenizer), (1, 40))
    assert farthest(model, ids, first) == [list(distances) for distances in LOOKS_BACK]
    model.model.decoder.embed_positions.weight.data.normal_(std=0.02)
    assert farthest(model, ids, first) != [list(distances) for distances in LOOKS_BACK]  # the control


@pytest.mark.parametrize("shape", ["llama", "opt"])
def test_the_walk_of_training_is_the_models_own_forward(tokenizer: Any, shape: str) -> None:
    torch.manual_seed(0)
    model = lm_others.opt(tokenizer) if shape == "opt" else build_model(tokenizer)
    model.eval()
    columns, habits = ROW_TOKENS - 1, lm_others.habits_of(model)
    ids = torch.randint(10, len(tokenizer), (2, columns))
    mask = torch.full((columns, columns), float("-inf")).triu(1)[None, None]
    positions = habits.positions(model, ids).clone()
    with torch.no_grad():
        walked = model.lm_head(habits.walk(model, columns, torch.device("cpu"))(ids, mask, positions))
        expected = model(input_ids=ids, position_ids=positions, use_cache=False).logits
        wrong = model(input_ids=ids, position_ids=positions // 2, use_cache=False).logits
    near = 0.05 if shape == "llama" else 1e-4  # the walk turns with angles in bfloat16
    assert (walked - expected).abs().max() < near
    assert (walked - wrong).abs().max() > 2 * near  # the control: positions count
    assert positions[0, 0] == positions[1, 0] == 0 if shape == "llama" else positions.max() < lm_others.POSITIONS


def test_a_deeper_model_is_made_of_the_known_ones_layers() -> None:
    known = AutoModelForCausalLM.from_pretrained(pocket.lm_path())
    deeper = lm_others.deepened(known, 12)
    for layer, source in enumerate([0, 1, 2, 3, 4, 5, 2, 3, 4, 5, 6, 7]):
        mine, its = deeper.model.layers[layer].state_dict(), known.model.layers[source].state_dict()
        assert all(torch.equal(mine[name], its[name]) for name in its), layer
    assert torch.equal(deeper.model.embed_tokens.weight, known.model.embed_tokens.weight)
    for layers in (8, 11, 18):
        with pytest.raises(ValueError, match=f"{layers} is not"):
            lm_others.deepened(known, layers)


@pytest.mark.parametrize("name", pocket.lm_names())
def test_shipped_language_models_answer_when_told_in_words(name: str, tokenizer: Any) -> None:
    from midstream.pocket import lm_evaluation

    model = AutoModelForCausalLM.from_pretrained(pocket.lm_path(name)).eval()
    rows = lm_evaluation.described_scenes("test", 12, 6)
    fresh = AutoModelForCausalLM.from_config(model.config).eval()
    assert lm_evaluation.teacher_forced(model, tokenizer, rows)["all"] > 0.6
    assert lm_evaluation.teacher_forced(fresh, tokenizer, rows)["all"] < 0.1  # the control: untrained
