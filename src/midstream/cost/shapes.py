"""The shape of a decoder as a ledger sees it: multiply-accumulates per token, attention widths, cache widths.

Read from the module tree, so that it holds for any family; a model on the meta device will do, and no weights are read.
Knows no schedule and no cost.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from midstream.engine.anatomy import KEEPS_ALL, UNCOUNTED, dissect
from midstream.engine.reading import QUERY_PROJECTION

KEYS = frozenset({"k_proj", "key", "key_proj", "k_lin", "wk", "Wk", "k"})
VALUES = frozenset({"v_proj", "value", "value_proj", "v_lin", "wv", "Wv", "v"})
FUSED = frozenset({"qkv_proj", "query_key_value", "c_attn", "Wqkv", "qkv", "att_proj", "W_pack"})
FOLD, UNFOLD = "kv_a_proj_with_mqa", "kv_b_proj"
QUERIES = frozenset({"q_proj", "query", "query_proj", "q_lin", "wq", "Wq", "q", "q_a_proj", "q_b_proj"})
"""What families call their projections: to keys, to values, to both and queries at once, through a latent; to queries.
"""

ELSEWHERE = ("encoder_attn", "crossattention", "cross_attn", "crossattn")
"""Parts of a layer that a decoder standing alone never runs."""

NO_MATMUL = frozenset({"A_log", "A", "D", "dt_bias"})
"""Parameters of two dimensions that no matrix product reads: state matrices of recurrent layers."""


@dataclass(frozen=True, slots=True)
class LayerShape:
    """One decoder layer.

    Args:
        kind: its attention type, as the engine names it.
        matmul: multiply-accumulates of one token in the layer's weights.
        keys_values: those of them that make keys and values (and queries, where one projection makes all three).
        idle_queries: those that make queries of tokens which need none, where the engine cannot spare them.
        score_width: multiply-accumulates of one query-key pair in the scores (query heads x key width); 0 without any.
        value_width: the same in the weighted sum of values.
        cache_width: numbers that the cache holds of one token.
        unfold: multiply-accumulates that a decode step spends on each token in the cache, where that holds latents.
        window: how many keys a decode step sees at most; None for all.
        saved_width: numbers of one token that autograd keeps when the layer's weights are frozen (an estimate).
        parameters: how many the layer has.
    """

    kind: str
    matmul: int
    keys_values: int
    idle_queries: int
    score_width: int
    value_width: int
    cache_width: int
    unfold: int
    window: int | None
    saved_width: int
    parameters: int


@dataclass(frozen=True, slots=True)
class LMShape:
    """A causal LM.

    Args:
        layers: its decoder layers, in order.
        width: of the hidden states.
        embedding_width: of what enters at layer 0.
        vocabulary: logits of one token.
        around: multiply-accumulates of one token in the stack's own projections before and after the layers.
        head: the same in the head that gives logits.
        parameters: how many the LM has, tied ones counted once; other modalities' towers of the checkpoint included.
    """

    layers: tuple[LayerShape, ...]
    width: int
    embedding_width: int
    vocabulary: int
    around: int
    head: int
    parameters: int


@dataclass(frozen=True, slots=True)
class _Product:
    """A matrix that each token meets: its place, its multiply-accumulates, whether it leads back to the width."""

    name: str
    macs: int
    returns: bool


def read_shape(lm: PreTrainedModel) -> LMShape:
    """The shape of `lm`, which may be on the meta device.

    Raises:
        InputError: the engine cannot drive this LM.
    """
    anatomy = dissect(lm)
    config = anatomy.config
    layers = tuple(_layer(layer, kind, config) for layer, kind in zip(anatomy.layers, anatomy.kinds, strict=True))
    inside = frozenset(id(module) for layer in anatomy.layers for module in layer.modules())
    around = sum(product.macs for product in _products(anatomy.stack, config, inside))
    heads = [child for child in lm.children() if all(inner is not anatomy.stack for inner in child.modules())]
    head = sum(product.macs for child in heads for product in _products(child, config))
    parameters = sum(parameter.numel() for parameter in lm.parameters())
    return LMShape(layers, anatomy.width, anatomy.width_at(0), config.vocab_size, around, head, parameters)


def _layer(layer: nn.Module, kind: str, config: Any) -> LayerShape:
    products = [
        product
        for product in _products(layer, config)
        if not any(part in ELSEWHERE for part in product.name.split("."))
    ]
    attends = kind not in UNCOUNTED
    attention = _attention(layer, products, config) if attends else _Attention("", 0, 0, 0, 0, 0, 0)
    window = None
    if attends and kind not in KEEPS_ALL:
        window = getattr(config, "sliding_window", None) or getattr(config, "attention_chunk_size", None)
    return LayerShape(
        kind=kind,
        matmul=sum(product.macs for product in products),
        keys_values=attention.keys_values,
        idle_queries=attention.idle_queries,
        score_width=attention.score_width,
        value_width=attention.value_width,
        cache_width=attention.cache_width,
        unfold=attention.unfold,
        window=window,
        saved_width=_saved_width(products, attention, config.hidden_size),
        parameters=sum(parameter.numel() for parameter in layer.parameters()),
    )


def _products(root: nn.Module, config: Any, without: frozenset[int] = frozenset()) -> Iterator[_Product]:
    """Every matrix product of one token; of experts, as many as a token is sent to."""
    for name, module in root.named_modules():
        if id(module) in without or isinstance(module, nn.Embedding):
            continue
        if isinstance(module, nn.Linear):
            yield _Product(name, module.weight.numel(), module.out_features == config.hidden_size)
        elif isinstance(module, Conv1D | nn.Conv1d):
            yield _Product(name, module.weight.numel(), module.weight.shape[-1] == config.hidden_size)
        else:
            for own, weight in module.named_parameters(recurse=False):
                if weight.dim() == 3:  # experts, stacked: (experts, one side, other side)
                    macs = weight.numel() // weight.shape[0] * _experts_per_token(config)
                    yield _Product(f"{name}.{own}", macs, "down" in own or "output" in name)
                elif weight.dim() == 2 and own not in NO_MATMUL and weight.shape[0] > 1:
                    yield _Product(f"{name}.{own}", weight.numel(), False)


def _experts_per_token(config: Any) -> int:
    names = ("num_experts_per_tok", "moe_topk", "moe_k", "top_k_experts", "num_experts_per_token", "moe_top_k")
    return next((int(getattr(config, name)) for name in names if getattr(config, name, None)), 1)


@dataclass(frozen=True, slots=True)
class _Attention:
    """The attention of one layer; `place` is the name of the module that holds its projections."""

    place: str
    keys_values: int
    idle_queries: int
    score_width: int
    value_width: int
    cache_width: int
    unfold: int


def _attention(layer: nn.Module, products: list[_Product], config: Any) -> _Attention:
    """Widths and the cost of keys and values. Heads are the config's, unless the module has its own."""
    last = {product.name: product.name.rpartition(".")[2] for product in products}
    names = KEYS | VALUES | FUSED | {FOLD, UNFOLD}
    places = [product.name.rpartition(".")[0] for product in products if last[product.name] in names]
    if not places:
        return _Attention("", 0, 0, 0, 0, 0, 0)
    place = places[0]
    inside = [product for product in products if product.name.rpartition(".")[0] == place]
    found = [product for product in inside if last[product.name] in names]
    module: Any = layer.get_submodule(place)
    heads = _first(module, ("num_heads", "num_attention_heads", "n_heads"), config.num_attention_heads)
    key_width = _first(module, ("qk_head_dim", "head_dim"), None) or _head_width(config)
    value_width = _first(module, ("v_head_dim",), key_width)
    macs = {last[product.name]: product.macs for product in found}
    unfold = macs.get(UNFOLD, 0)
    if FOLD in macs:
        cache = macs[FOLD] // config.hidden_size
    else:
        cache = sum(macs.values()) // config.hidden_size - (heads * key_width if FUSED & set(macs) else 0)
    idle = sum(product.macs for product in inside if last[product.name] in QUERIES - {QUERY_PROJECTION})
    return _Attention(place, sum(macs.values()), idle, heads * key_width, heads * value_width, cache, unfold)


def _head_width(config: Any) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def _first(module: Any, names: tuple[str, ...], otherwise: Any) -> Any:
    return next((value for name in names if isinstance(value := getattr(module, name, None), int)), otherwise)


def _saved_width(products: list[_Product], attention: _Attention, width: int) -> int:
    """What autograd keeps of a token in a frozen layer: both norms' input, queries, keys, values and their sum, the
    input of the activation, and, where that gates, both factors. Frozen products keep nothing: only weights' gradients
    would read their input."""
    outside = [product for product in products if not attention.place or not product.name.startswith(attention.place)]
    inner = sum(product.macs for product in outside if product.returns) // width
    outward = sum(product.macs for product in outside if not product.returns) // width
    gated = outward > 1.5 * inner
    queries = attention.score_width + attention.value_width
    widths = queries + (queries if attention.unfold else attention.cache_width)
    return 2 * width + widths + inner * (3 if gated else 1)
