"""What one model, thread or generation does, no other sees: calls live in contexts of their own."""

import threading
from typing import Any

import torch
from torch import Tensor

import cases
from midstream.modeling import MidstreamForCausalLM

GREEDY: dict[str, Any] = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}


def _inputs(made: MidstreamForCausalLM, media: int = 0) -> dict[str, Tensor]:
    rows = [cases.Row(row.ids, row.slots, row.media + media) for row in cases.ROWS]
    return cases.collate(rows, cases.senses(made))


def test_two_models_share_one_lm() -> None:
    lm = cases.fresh_lm("llama")
    plain = lm(**cases.collate(cases.ROWS, [])).logits
    names = ("deep_insert_middle", "ep_alm", "prompt_and_image", "prepend")
    shared = [cases.build(lm, case) for case in names]
    alone = [cases.build(cases.fresh_lm("llama"), case) for case in names]
    for one, other in zip(shared, alone, strict=True):
        assert torch.equal(one(**_inputs(one)).logits, other(**_inputs(other)).logits)
    assert torch.equal(lm(**cases.collate(cases.ROWS, [])).logits, plain), "the LM itself is asleep to all of them"
    different = [made(**_inputs(made)).logits for made in alone]
    assert not any(torch.equal(different[0], one) for one in different[1:]), "the control: the models differ"


def test_detaching_one_model_leaves_the_other() -> None:
    lm = cases.fresh_lm("opt")
    one, other = cases.build(lm, "deep_insert_middle"), cases.build(lm, "ep_alm")
    expected = other(**_inputs(other)).logits
    one.engine.detach()
    assert torch.equal(other(**_inputs(other)).logits, expected)


def test_a_failed_call_leaves_nothing_behind() -> None:
    made = cases.build(cases.fresh_lm("llama"), "deep_insert_middle")
    expected = made(**_inputs(made)).logits
    bomb = made.engine.anatomy.layers[4].register_forward_pre_hook(_explode)
    for _ in range(2):
        try:
            made(**_inputs(made))
        except KeyboardInterrupt:
            continue
        raise AssertionError("the layer did not fail")
    bomb.remove()
    ids = cases.collate(cases.ROWS, [])
    assert torch.equal(made.lm(**ids).logits, cases.plain_lm("llama")(**ids).logits)
    assert torch.equal(made(**_inputs(made)).logits, expected)


def _explode(*given: Any) -> None:
    raise KeyboardInterrupt


def test_two_threads_generate_at_once() -> None:
    made = cases.model("llama", "deep_insert_middle")
    other = cases.model("llama", "ep_alm")
    jobs = [(one, _inputs(one, media)) for media in (0, 7) for one in (made, other)]
    expected = [one.generate(**inputs, **GREEDY) for one, inputs in jobs]
    found: list[Any] = [None] * len(jobs)
    start = threading.Barrier(len(jobs))

    def work(index: int) -> None:
        one, inputs = jobs[index]
        start.wait()
        found[index] = [one.generate(**inputs, **GREEDY) for _ in range(3)]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(one, want) for got, want in zip(found, expected, strict=True) for one in got)
    assert not torch.equal(expected[0], expected[1]), "the control: the jobs differ"


class _Manual:
    """A greedy generation in single steps, so that two can take turns."""

    def __init__(self, made: MidstreamForCausalLM, inputs: dict[str, Tensor]) -> None:
        self.made, self.mask, self.cache, self.said = made, inputs["attention_mask"], None, list[Tensor]()
        self.next: dict[str, Any] = dict(inputs)

    @torch.no_grad()
    def step(self) -> None:
        output = self.made(**self.next, past_key_values=self.cache, use_cache=True)
        self.cache = output.past_key_values
        self.said.append(output.logits[:, -1].argmax(-1, keepdim=True))
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=1)
        self.next = {"input_ids": self.said[-1], "attention_mask": self.mask}


def test_two_generations_take_turns() -> None:
    made, other = cases.model("gemma2", "deep_insert_middle"), cases.model("gemma2", "window_from_0")
    jobs = [(made, _inputs(made)), (made, _inputs(made, 7)), (other, _inputs(other))]
    alone, turns = [_Manual(*job) for job in jobs], [_Manual(*job) for job in jobs]
    for one in alone:
        for _ in range(4):
            one.step()
    for _ in range(4):
        for one in turns:
            one.step()
    for one, want in zip(turns, alone, strict=True):
        assert torch.equal(torch.cat(one.said), torch.cat(want.said))


def test_a_cache_of_another_schedule_is_refused() -> None:
    """Or its tokens would be read as text."""
    made, other = cases.model("llama", "deep_insert_middle"), cases.model("llama", "two_senses")
    inputs = _inputs(made)
    cache = made(**inputs, use_cache=True).past_key_values
    mask = torch.cat([inputs["attention_mask"], torch.ones(len(cases.ROWS), 1, dtype=torch.long)], dim=1)
    try:
        other(input_ids=torch.full((len(cases.ROWS), 1), 5), attention_mask=mask, past_key_values=cache)
    except ValueError as error:
        assert "another schedule" in str(error)
    else:
        raise AssertionError("the cache was taken")
