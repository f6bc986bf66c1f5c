"""The bench: what it measures is real, what it promises is the ledger's, and its memory is what operators held."""

import time
from typing import Any

import pytest
import torch

from midstream.cost.bench import STAGES, bench
from midstream.cost.comparison import ENTRY_0, TEXT_ONLY, Given, chosen
from midstream.cost.measure import interleaved, peak_bytes, ratios, share_of_saving, spread
from midstream.cost.subjects import Bench, decode, joined, prefill, random_lm, twin
from midstream.errors import InputError
from midstream.presets import deep_insert
from midstream.testing import tiny_lm


def test_turns_are_taken_and_ratios_are_paired() -> None:
    order: list[str] = []

    def run(name: str, seconds: float) -> Any:
        return lambda: (order.append(name), time.sleep(seconds))

    seconds = interleaved({"slow": run("slow", 0.02), "quick": run("quick", 0.002)}, 2)
    assert order == ["slow", "quick", "quick", "slow", "slow", "quick"]  # the first two only warm up
    assert {name: len(values) for name, values in seconds.items()} == {"slow": 2, "quick": 2}
    assert ratios(seconds, "slow", "quick")["median"] > 1
    paired = {"a": [1.0, 10.0, 100.0], "b": [2.0, 20.0, 200.0]}
    assert ratios(paired, "a", "b") == {"median": 0.5, "low": 0.5, "high": 0.5}
    assert spread([3.0]) == {"median": 3.0, "low": 3.0, "high": 3.0}


def test_the_share_of_a_saving() -> None:
    assert share_of_saving(0.6, 0.5) == pytest.approx(0.8)
    assert share_of_saving(1.1, 0.95) is None, "nothing is promised, so nothing can arrive"


def test_peak_memory_is_what_operators_hold() -> None:
    grown: list[torch.Tensor] = []

    def temporaries() -> None:
        a = torch.ones(1000, 250)  # 1 MB
        b = a + 1
        del a
        b.mul_(2)
        c = b.view(250, 1000) * 2
        del b
        grown.append(c[:1].clone())

    assert peak_bytes(temporaries) == 2_000_000
    assert peak_bytes(lambda: None) == 0
    weight = torch.ones(500, 500, requires_grad=True)
    backward = peak_bytes(lambda: (weight @ weight).relu().sum().backward())
    assert backward >= 3_000_000, "the control: gradients and what is kept for them are seen"


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    config = tiny_lm("llama").config
    _, senses, _ = chosen("opt-125m", None)
    schedules = {"later": {"image": deep_insert(3)}}
    return bench(config, senses, schedules, Bench(1, 8), rounds=2, given=Given(24, 16))


def test_bench_has_every_figure(measured: dict[str, Any]) -> None:
    assert list(measured["schedules"]) == [ENTRY_0, "later", TEXT_ONLY]
    for label, row in measured["schedules"].items():
        assert set(STAGES) - set(row) == ({"train"} if label == TEXT_ONLY else set()), "text alone trains nothing"
        for stage in set(STAGES) & set(row):
            figures = row[stage]
            assert figures["seconds"]["low"] <= figures["seconds"]["median"] <= figures["seconds"]["high"]
            assert figures["peak_bytes"] > 0 and figures["ratio"]["median"] > 0 and figures["flops_per_second"] > 0
    later = measured["schedules"]["later"]
    assert later["train"]["samples_per_second"] == pytest.approx(1 / later["train"]["seconds"]["median"])
    assert later["train"]["peak_ratio"] < 0.9 < measured["schedules"][ENTRY_0]["train"]["peak_ratio"]
    assert 0.5 < later["train"]["ledger_ratio"] < 0.7 and measured["weights"] > 100_000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_bench_on_cuda() -> None:
    _, senses, _ = chosen("opt-125m", None)
    setting = Bench(1, 8, device="cuda", dtype=torch.bfloat16)
    found = bench(tiny_lm("llama").config, senses, {"later": {"image": deep_insert(3)}}, setting, 2, Given(24, 16))
    assert found["schedules"]["later"]["train"]["peak_bytes"] > 0


def test_schedules_share_weights_and_not_modules() -> None:
    lm = random_lm(tiny_lm("llama").config, Bench())
    other = twin(lm)
    assert other.model.layers[0] is not lm.model.layers[0]
    assert all(a is b for a, b in zip(lm.parameters(), other.parameters(), strict=True))


def test_runs_do_what_they_are_called() -> None:
    setting = Bench(2, 8)
    _, senses, _ = chosen("opt-125m", None)
    lm = random_lm(tiny_lm("llama").config, setting)
    model, inputs = joined(lm, senses, {"image": deep_insert(3)}, setting, Given(5, 16))
    with torch.no_grad():
        expected = model(**inputs).logits[:, -1].argmax(-1)
    assert prefill(model, inputs)().equal(expected)
    step = decode(model, inputs)
    assert len(expected) == 2
    again = {**inputs, "input_ids": torch.cat([inputs["input_ids"], inputs["input_ids"][:, -1:]], dim=1)}
    again["attention_mask"] = torch.ones_like(again["input_ids"])
    with torch.no_grad():
        assert step().equal(model(**again).logits[:, -1].argmax(-1))


def test_bad_settings_are_refused() -> None:
    for wrong, said in (({"batch": 0}, "batch is 0"), ({"device": "tpu"}, "neither cpu nor cuda")):
        with pytest.raises(InputError, match=said):
            Bench(**wrong)  # type: ignore[arg-type]
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            Bench(device="cuda")
