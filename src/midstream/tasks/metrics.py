"""How an answer is scored, in pure Python: 0 to 1 for a prediction and its references. Knows no model, no data."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

Metric = Callable[[str, Sequence[str]], float]

_EDGES: Final = " \t\r\n.,;:!?\"'`"


def normalise(text: str) -> str:
    """Lower case, single spaces, no punctuation at either end."""
    return " ".join(text.lower().split()).strip(_EDGES)


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1 if the prediction equals a reference after `normalise`, else 0."""
    return float(normalise(prediction) in {normalise(reference) for reference in references})


def token_f1(prediction: str, references: Sequence[str]) -> float:
    """Best harmonic mean of word precision and recall over the references (SQuAD, arXiv 1606.05250, section 5)."""
    return max(
        (_f1(normalise(prediction).split(), normalise(reference).split()) for reference in references), default=0.0
    )


def _f1(predicted: list[str], wanted: list[str]) -> float:
    shared = sum((Counter(predicted) & Counter(wanted)).values())
    if not predicted or not wanted:
        return float(predicted == wanted)
    return 2 * shared / (len(predicted) + len(wanted))


_NUMBERS: Final = "zero one two three four five six seven eight nine ten".split()
_DIGITS: Final = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS)}
_ARTICLES: Final = frozenset(("a", "an", "the"))
_PUNCTUATION: Final = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER: Final = re.compile(r"\d,\d")
_LONE_PERIOD: Final = re.compile(r"\.(?!\d)")
# Right spellings; what people write is the same without an apostrophe. "its", "were" and "well" are words themselves.
_CONTRACTIONS: Final = {
    right.replace("'", ""): right
    for right in (
        "ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd "
        "how'll how's i'm i've isn't it'd it'll ma'am might've mightn't must've mustn't needn't not've "
        "o'clock oughtn't shan't should've shouldn't somebody'll somebody's someone'd someone'll someone's "
        "something'd something'll that's there'd there're there's they'd they'll they're they've wasn't we've "
        "weren't what'll what're what's what've when's where'd where's where've who'd who'll who's who've "
        "why'll why're why's won't would've wouldn't y'all you'd you'll you're you've"
    ).split()
}


def vqa_normalise(answer: str) -> str:
    """The answer form that VQA's evaluation compares (arXiv 1505.00468, section 4.1 and visualqa.org/evaluation).

    Lower case; number words as digits; no articles; apostrophes put back into contractions; punctuation dropped
    where it touches a space, else made a space; a period stays only before a digit, a comma in a number is dropped.
    """
    text = answer.replace("\n", " ").replace("\t", " ").strip()
    out = text
    for mark in _PUNCTUATION:
        glued = f"{mark} " in text or f" {mark}" in text or _COMMA_IN_NUMBER.search(text)
        out = out.replace(mark, "" if glued else " ")
    words = [_DIGITS.get(word, word) for word in _LONE_PERIOD.sub("", out).lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(prediction: str, references: Sequence[str]) -> float:
    """min(matches / 3, 1), averaged over leaving out each annotator in turn (visualqa.org/evaluation).

    Args:
        prediction: the model's answer.
        references: the annotators' answers, ten in VQAv2.
    """
    wanted = [vqa_normalise(reference) for reference in references]
    hit = vqa_normalise(prediction)
    scores = [min((wanted.count(hit) - (reference == hit)) / 3, 1.0) for reference in wanted]
    return sum(scores) / len(scores) if scores else 0.0


METRICS: Final[dict[str, Metric]] = {"exact": exact_match, "vqa": vqa_accuracy, "f1": token_f1}
