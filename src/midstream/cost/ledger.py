"""The ledger: what a schedule costs an LM, layer by layer, by arithmetic alone. Knows shapes and schedules, no modules.

Counted as PyTorch's counter counts: two FLOPs for each multiply-accumulate of a matrix product, every query against
every key whether a mask hides it or not (dense and fused kernels with a mask compute both), nothing for norms, softmax
and activations. The state updates of recurrent layers are no matrix products and are not counted either.

    rows of a layer    text + active tokens     queries, keys, values, FFN
                       readable tokens          keys and values
    before a keep by attention                  keys and values once more, and the scores of one query
    decode step        one row; keys of all that the layer's cache holds, or of its window
    training step      forward everywhere; from the lowest entry up also the gradient of every product's input and of
                       the attention; no weight gradient in a frozen LM
"""

from collections.abc import Mapping
from dataclasses import dataclass

from midstream.cost.costs import Cost, LayerCost
from midstream.cost.parts import Part
from midstream.cost.shapes import LayerShape, LMShape
from midstream.errors import InputError
from midstream.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Work:
    """What is run.

    Args:
        batch: rows.
        text: text tokens of a row.
        targets: how many of them a training step makes logits for; None for all. Midstream's trainer makes them where
            something is learnt, and only there.
        width_bytes: bytes of a number.
        fused: attention in one kernel, which computes the scores again in backward; else as separate products.
        frozen: whether the LM's own weights take no gradient.

    Raises:
        InputError: a count below 1.
    """

    batch: int = 1
    text: int = 64
    width_bytes: int = 4
    fused: bool = True
    frozen: bool = True
    targets: int | None = None

    def __post_init__(self) -> None:
        for name in ("batch", "text"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.targets is not None and not 0 < self.targets <= self.text:
            raise InputError(f"targets is {self.targets}; it must be one of 1..{self.text}, the text tokens of a row")


def ledger(
    shape: LMShape, schedules: Mapping[str, Schedule], parts: Mapping[str, Part], work: Work | None = None
) -> Cost:
    """The cost of `schedules` on an LM; no schedules are text alone.

    Args:
        shape: the LM's.
        schedules: modality name -> where its tokens live.
        parts: modality name -> what its encoder and connector cost and how many tokens they give.

    Raises:
        InputError: a schedule names a layer that the LM does not have.
    """
    work = work or Work()
    depth = len(shape.layers)
    for name, schedule in schedules.items():
        schedule.validate(depth, name)
    lowest = min((schedule.enter for schedule in schedules.values()), default=depth)
    trained_from = (lowest if schedules else depth + 1) if work.frozen else 0
    layers = tuple(
        _layer(of, _seats(schedules, parts, layer, work), work, backward=layer >= trained_from)
        for layer, of in enumerate(shape.layers)
    )
    text, reaches = work.batch * work.text, trained_from <= depth
    first = sum(parts[name].slots * schedule.kept(0, parts[name].tokens) for name, schedule in schedules.items())
    rows, used = text + work.batch * first, [parts[name] for name in schedules]
    learnt = work.batch * (work.targets or work.text)
    forward = 2 * (rows * shape.around + learnt * shape.head)
    return Cost(
        layers=layers,
        prefill_around=2 * (rows * shape.around + work.batch * shape.head),
        decode_around=2 * work.batch * (shape.around + shape.head),
        forward_around=forward,
        activation_gradients_around=forward if reaches else 0,
        weight_gradients_around=0 if work.frozen else forward,
        connector=work.batch * sum(part.slots * part.forward for part in used),
        connector_backward=work.batch * sum(part.slots * part.backward for part in used),
        encoder=work.batch * sum(part.slots * part.encoder for part in used),
        saved_around=2 * learnt * shape.vocabulary * work.width_bytes if reaches else 0,
        connector_parameters=sum(part.connector_parameters for part in used),
        encoder_parameters=sum(part.encoder_parameters for part in used),
        lm_parameters=shape.parameters,
        width_bytes=work.width_bytes,
        frozen=work.frozen,
    )


@dataclass(frozen=True, slots=True)
class _Seats:
    """Tokens of one row of the batch in one layer.

    Args:
        rows: that pass the whole layer, text included.
        readable: that give keys and values only.
        asked: keys whose attention is looked at, for a keep at the next layer or at this one.
    """

    rows: int
    readable: int
    asked: int


def _seats(schedules: Mapping[str, Schedule], parts: Mapping[str, Part], layer: int, work: Work) -> _Seats:
    tokens = dict.fromkeys(("active", "readable", "parked", "absent"), 0)
    for name, schedule in schedules.items():
        tokens[schedule.state(layer)] += parts[name].slots * schedule.kept(layer, parts[name].tokens)
    rows, readable = work.text + tokens["active"], tokens["readable"]
    keeps = [keep for schedule in schedules.values() for keep in schedule.keeps if keep.looks_at == layer]
    asked = rows + readable if any(keep.by == "attention" for keep in keeps) else 0
    if any(keep.by == "preview" for keep in keeps):
        asked += work.text + sum(
            parts[name].slots * schedule.kept(layer, parts[name].tokens, before=True)
            for name, schedule in schedules.items()
            if schedule.state(layer) in ("active", "readable")
        )
    return _Seats(rows, readable, asked)


def _layer(of: LayerShape, seats: _Seats, work: Work, backward: bool) -> LayerCost:
    keys = seats.rows + seats.readable
    products = seats.rows * of.matmul + seats.readable * of.keys_values
    idle = seats.readable * of.idle_queries
    pairs = seats.rows * keys
    attention = pairs * (of.score_width + of.value_width)
    attention_backward = 2 * attention + (pairs * of.score_width if work.fused else 0)
    asking = seats.asked * (of.keys_values + of.idle_queries + of.score_width)
    seen = min(keys + 1, of.window or keys + 1)
    held = min(keys, of.window - 1) if of.window else keys
    decode = of.matmul - of.unfold + seen * (of.unfold + of.score_width + of.value_width)
    saved = seats.rows * of.saved_width + seats.readable * of.cache_width
    return LayerCost(
        rows=seats.rows,
        readable=seats.readable,
        prefill=2 * work.batch * (products + idle + attention + asking),
        decode=2 * work.batch * decode,
        activation_gradients=2 * work.batch * (products + attention_backward) if backward else 0,
        weight_gradients=0 if work.frozen else 2 * work.batch * products,
        kv_bytes=work.batch * held * of.cache_width * work.width_bytes,
        saved_bytes=work.batch * saved * work.width_bytes if backward else 0,
    )
