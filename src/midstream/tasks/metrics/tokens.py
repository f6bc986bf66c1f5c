"""Captions cut into words, close to what coco-caption gets from Stanford's PTBTokenizer, without Java.

The Penn Treebank's rules that captions need: lower case; clitics stand alone (`the dog 's`, `is n't`, `can not`);
hyphens, slashes, periods and numbers stay inside a word; brackets get their treebank names; an abbreviation keeps
its period; punctuation is dropped. docs/evaluation.md counts how often the two differ and says where.
"""

import re
from typing import Final

_BRACKETS: Final = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_STRAIGHT: Final = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "\xa0": " "})
_DROPPED: Final = frozenset("'\"`.?!,:;-–—…")
_ABBREVIATIONS: Final = (
    "mr mrs ms dr st ave blvd rd mt jr sr vs etc co inc ltd corp prof capt sgt lt gen col gov sen rev hon "
    "jan feb mar apr aug sept oct nov dec mon tue wed thu fri"
).replace(" ", "|")

_TOKEN: Final = re.compile(
    r"""
    (?<!\w) (?:[^\W\d_]\.)+ (?!\w)                              # a.m.  u.s.  c.
  | (?<!\w) (?:ABBREVIATIONS|ph\.d|(?:no|ca)(?=\.\ \d)|ft(?=\.\ \w)) \.  # mr.
  | (?<!\w) (?:can(?=not\b) | gon(?=na\b) | wan(?=na\b) | got(?=ta\b) | gim(?=me\b) | lem(?=me\b))
  | [^\W_]+? (?=n't(?!\w)) | n't(?!\w)                          # is n't
  | '(?:s|m|d|re|ve|ll)(?!\w)                                   # dog 's
  | '(?:n' | t(?=is\b|was\b) | em\b | cause\b)                  # rock 'n' roll
  | \b(?:ol'(?!\w) | y'(?=all\b))                                # y' all
  | (?<!\d) '\d\ds?\b                                           # '80s
  | \b(?:o|d|l|qu|ma|ne|e|c) ' (?!(?:s|m|d|re|ve|ll)\b) [^\W\d_]+  # o'clock
  | (?<!\w)[-+]?\d* (?:[.,:/]\d+)+ (?:-[^\W_]+)*                # 3,000  5:30  1/2
  | (?<!\w)[-+]\d+ (?![^\W_])                                   # -5
  | (?: @|\#(?!\d) )? [^\W_]+ (?:[-/_.@?!][^\W_]+)*             # and/or  t-shirt
  | \#+ | \*+ | _+
  | \S
    """.replace("ABBREVIATIONS", _ABBREVIATIONS),
    re.VERBOSE,
)


def caption_tokens(text: str) -> list[str]:
    """The words of a caption, as BLEU, ROUGE-L and CIDEr-D count them.

    Args:
        text: a caption; line breaks count as spaces.
    """
    found = _TOKEN.findall(text.lower().translate(_STRAIGHT))
    return [_BRACKETS.get(token, token) for token in found if not _DROPPED.issuperset(token)]
