"""VQA accuracy as its organisers' evaluation computes it (arXiv 1505.00468; visualqa.org/evaluation), slips included.

Where that program and its description differ the program is followed, for its figures are the published ones:
answers are normalised only where the annotators disagree, at most 32 periods are dropped, and a comma between two
digits anywhere makes every punctuation mark vanish where it would else leave a space.
"""

import re
from collections.abc import Sequence
from typing import Final

_NUMBERS: Final = "zero one two three four five six seven eight nine ten".split()
_DIGITS: Final = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS)}
_ARTICLES: Final = frozenset(("a", "an", "the"))
_PUNCTUATION: Final = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER: Final = re.compile(r"\d,\d")
_LONE_PERIOD: Final = re.compile(r"\.(?!\d)")
_PERIODS: Final = 32
"""How many periods are dropped at most: the program passes a flag, worth 32, where a count is expected."""

_WHOLE: Final = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd "
    "he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've "
    "mustn't needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've "
    "somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll that's "
    "there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't "
    "what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're "
    "why's won't would've wouldn't wouldn't've y'all y'all'd've y'all'll you'd you'd've you'll you're you've"
).split()


def _one_apostrophe_less(word: str) -> list[str]:
    return [word[:place] + word[place + 1 :] for place, letter in enumerate(word) if letter == "'"]


_CONTRACTIONS: Final = {short: word for word in _WHOLE for short in _one_apostrophe_less(word)} | {
    "somebody'd": "somebodyd"  # the wrong way round, as published
}


def vqa_normalise(answer: str) -> str:
    """The answer form that is compared where the annotators disagree.

    Lower case; number words as digits; no articles; apostrophes put back into contractions; punctuation dropped
    where it touches a space, else made a space; a period stays only before a digit.
    """
    text = _trimmed(answer)
    out = text
    for mark in _PUNCTUATION:
        glued = f"{mark} " in text or f" {mark}" in text or _COMMA_IN_NUMBER.search(text)
        out = out.replace(mark, "" if glued else " ")
    words = [_DIGITS.get(word, word) for word in _LONE_PERIOD.sub("", out, count=_PERIODS).lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def _trimmed(answer: str) -> str:
    return answer.replace("\n", " ").replace("\t", " ").strip()


def vqa_accuracy(prediction: str, references: Sequence[str]) -> float:
    """min(matches / 3, 1), averaged over leaving out each annotator in turn.

    Args:
        prediction: the model's answer.
        references: the annotators' answers, ten in VQAv2. With fewer than four even a perfect answer stays below 1, and
            with one it scores 0. If all are equal they and the prediction are compared as they stand, upper and
            lower case included; else after `vqa_normalise`.
    """
    said, wanted = _trimmed(prediction), [_trimmed(reference) for reference in references]
    if len(set(wanted)) > 1:
        said, wanted = vqa_normalise(said), [vqa_normalise(reference) for reference in wanted]
    matches = wanted.count(said)
    scores = [min((matches - (reference == said)) / 3, 1.0) for reference in wanted]
    return sum(scores) / len(scores) if scores else 0.0
