"""How answers are scored, in pure Python. Knows no model and no data; docs/evaluation.md says what each metric is."""

from midstream.tasks.metrics.answers import exact_match, normalise, token_f1
from midstream.tasks.metrics.cider import cider_d
from midstream.tasks.metrics.overlap import bleu, bleu_matches, rouge_l
from midstream.tasks.metrics.registry import CAPTION_METRICS, METRICS, Metric, reported
from midstream.tasks.metrics.tokens import caption_tokens
from midstream.tasks.metrics.vqa import vqa_accuracy, vqa_normalise

__all__ = [
    "CAPTION_METRICS",
    "METRICS",
    "Metric",
    "bleu",
    "bleu_matches",
    "caption_tokens",
    "cider_d",
    "exact_match",
    "normalise",
    "reported",
    "rouge_l",
    "token_f1",
    "vqa_accuracy",
    "vqa_normalise",
]
