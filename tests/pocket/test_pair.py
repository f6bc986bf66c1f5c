"""Picture and sound together: true answers under a second reading, balanced, and both senses are needed."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict

import pytest
from pocket_reading import things_meant

from midstream.pocket.language import Question
from midstream.pocket.pair import Pair, language, sample
from midstream.pocket.pair.data import example
from midstream.pocket.rows import drawn
from midstream.pocket.world import PLACES, Scene, Thing, make_scene

NUMBERS = ("zero", "one", "two", "three", "four")
WHERE = r"(?:in the picture|in the sound|you see|you hear)"


def _one(phrase: str, pair: Pair) -> Thing:
    """The only thing that "the red ring you hear" can mean."""
    match = re.fullmatch(rf"the (.+) ({WHERE})", phrase)
    assert match, phrase
    scene = pair.picture if match[2] in ("in the picture", "you see") else pair.sound
    (thing,) = things_meant(match[1], scene)
    return thing


def read(text: str, pair: Pair) -> str:
    """The answer to a question, re-derived from its words."""
    every = Scene(pair.picture.things + pair.sound.things)
    if match := re.fullmatch(r"how many objects (?:do you|are in the) (see|hear|picture|sound)\?", text):
        return NUMBERS[len((pair.picture if match[1] in ("see", "picture") else pair.sound).things)]
    if match := re.fullmatch(r"how many (.+) (?:are there in both|do you see or hear)\?", text):
        return NUMBERS[len(things_meant(match[1], every))]
    if match := re.fullmatch(r"do you see or hear (an? .+)\?", text):
        found = (bool(things_meant(match[1], pair.picture)), bool(things_meant(match[1], pair.sound)))
        return {(True, False): "see", (False, True): "hear", (True, True): "both"}[found]
    if match := re.fullmatch(r"(?:is there (an? .+) in both|do you both see and hear (an? .+))\?", text):
        return "yes" if all(things_meant(match[1] or match[2], scene) for scene in pair) else "no"
    if match := re.fullmatch(r"(?:is there (an? .+) in the (picture|sound)|do you (see|hear) (an? .+))\?", text):
        scene = pair.picture if (match[2] or match[3]) in ("picture", "see") else pair.sound
        return "yes" if things_meant(match[1] or match[4], scene) else "no"
    names = re.findall(rf"the (?:(?!\bthe\b).)+? {WHERE}", text.replace("the same", "one").replace("the place of", ""))
    things = [_one(name, pair) for name in names]
    if match := re.search(r"the same (colour|shape|size|place)", text):
        return "yes" if getattr(things[0], match[1]) == getattr(things[1], match[1]) else "no"
    if len(things) == 2:
        return "yes" if _holds(text, *things) else "no"
    (thing,) = things
    asked = text.replace(names[0], "")
    field = next(
        (field for field in ("colour", "shape", "size", "place") if field in asked),
        "size" if "how big" in asked else "place",
    )
    return str(getattr(thing, field))


def _holds(text: str, a: Thing, b: Thing) -> bool:
    (ay, ax), (by, bx) = (divmod(PLACES.index(thing.place), 3) for thing in (a, b))
    relation = re.search(rf"{WHERE} (larger than|smaller than|left of|right of|above|below) the", text)
    assert relation, text
    return {
        "larger than": (a.size, b.size) == ("large", "small"),
        "smaller than": (a.size, b.size) == ("small", "large"),
        "left of": ax < bx,
        "right of": ax > bx,
        "above": ay < by,
        "below": ay > by,
    }[relation[1]]


@pytest.fixture(scope="module")
def asked() -> list[tuple[Pair, Question]]:
    found = []
    for index in range(700):
        pair = sample("validation", index)
        found += [(pair, question) for question in language.ask_many(pair, random.Random(index), 6)]
    return found


def test_every_answer_is_true_under_a_second_reading(asked: list[tuple[Pair, Question]]) -> None:
    for pair, question in asked:
        assert read(question.text, pair) == question.answer, (pair, question)


def test_both_senses_are_needed(asked: list[tuple[Pair, Question]]) -> None:
    """With another pair's sound, or another pair's picture, many answers are wrong or there is none."""
    for exchanged in (0, 1):
        wrong: dict[str, list[bool]] = defaultdict(list)
        for (pair, question), (other, _) in zip(asked, asked[60:], strict=False):
            mixed = Pair(other.picture, pair.sound) if exchanged == 0 else Pair(pair.picture, other.sound)
            try:
                wrong[question.kind].append(read(question.text, mixed) != question.answer)
            except (ValueError, KeyError):
                wrong[question.kind].append(True)
        assert all(sum(lost) > 0.25 * len(lost) for lost in wrong.values()), wrong
        assert sum(wrong["comparison"]) > 0.45 * len(wrong["comparison"])


def test_the_question_alone_does_not_give_the_answer(asked: list[tuple[Pair, Question]]) -> None:
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for _, question in asked:
        by_kind[question.kind][question.answer] += 1
    limits = {"colour": 0.2, "shape": 0.25, "place": 0.2, "count": 0.5, "sense": 0.45}
    assert set(by_kind) == set(language.QUESTION_TYPES)
    for kind, counts in by_kind.items():
        assert counts.most_common(1)[0][1] / counts.total() < limits.get(kind, 0.6), (kind, counts)


def test_every_description_says_everything_about_each_sense() -> None:
    """Read back clause by clause, whatever the grammar: exactly the things that are seen and heard."""
    texts = set()
    for index in range(300):
        pair = sample("train", index)
        rng = random.Random(index)
        for text in (language.describe(pair, rng), language.describe(pair, rng, plain=True), language.canonical(pair)):
            assert _read_back(text) == Counter(
                (sense, thing) for sense in ("see", "hear") for thing in pair[sense == "hear"].things
            ), text
            texts.add(re.sub(r" (?:small|large)\b.*", "", text))
    assert len(texts) > 20


def _read_back(text: str) -> Counter[tuple[str, Thing]]:
    found: Counter[tuple[str, Thing]] = Counter()
    sense = ""
    for clause in re.split(r"[.,] ?", text):
        if named := re.search(r"\b(picture|see|sound|hear)\b", clause):
            sense = "see" if named[1] in ("picture", "see") else "hear"
        words = re.findall(r"[a-z-]+", clause)
        if not words:
            continue
        place = re.search(rf"\bat ({'|'.join(sorted(PLACES, key=len, reverse=True))})\b", clause)
        noun = re.search(r"\b(small|large)(?: and)? (\w+)(?: (\w+))?", clause)
        assert place and noun and sense, clause
        shape = noun[3] if clause.find(" and ") < 0 else re.search(r"the (\w+)", clause)[1]  # type: ignore[index]
        found[sense, Thing(str(shape), noun[2], noun[1], place[1])] += 1
    return found


def test_new_words_are_listed() -> None:
    """Every word of the pair's sentences is one of the pocket language, or one of the few that are named."""
    known = set()
    from midstream.pocket import language as pictures
    from midstream.pocket.world import sample_scene

    for index in range(400):
        scene, rng = sample_scene("train", index), random.Random(index)
        said = [pictures.describe(scene, rng), pictures.caption(scene, rng), pictures.ask_describe(scene, rng).text]
        said += [f"{q.text} {q.answer}" for q in pictures.ask_many(scene, rng, 8)]
        known |= set(re.findall(r"[a-z-]+", " ".join(said)))
    new = set()
    for index in range(400):
        pair, rng = sample("train", index), random.Random(index)
        said = [language.describe(pair, rng), language.ask_describe(pair, rng).text, language.canonical(pair)]
        said += [f"{q.text} {q.answer}" for q in language.ask_many(pair, rng, 8)]
        new |= set(re.findall(r"[a-z-]+", " ".join(said))) - known
    assert new == set(language.WORDS)


def test_rows_have_a_picture_and_a_sound() -> None:
    row = example("train", 2, questions_per_scene=5)
    assert [part["type"] for part in row["messages"][0]["content"]] == ["image", "audio", "text"]
    assert len(row["types"]) == len(row["messages"]) // 2 == 6
    again, other = example("train", 2, questions_per_scene=5), example("train", 2, seed=1, questions_per_scene=5)
    assert [m["content"][-1] for m in again["messages"]] == [m["content"][-1] for m in row["messages"]]
    assert (
        again["messages"][0]["content"][1]["audio"]["array"] == row["messages"][0]["content"][1]["audio"]["array"]
    ).all()
    assert [m["content"][-1] for m in other["messages"]] != [m["content"][-1] for m in row["messages"]]


def test_splits_keep_held_out_things_and_pairs_apart() -> None:
    for split in ("train", "validation", "test"):
        pairs = [drawn(sample, split, index) for index in range(60)]
        assert all(pair.bucket == split and not pair.has_held_out for pair in pairs)
    assert all(drawn(sample, "held_out", index).has_held_out for index in range(60))
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        drawn(sample, "dev", 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown kind of question 'smell'"):
        language.ask(sample("train", 0), random.Random(0), "smell")


def test_a_pair_that_is_known_by_hand() -> None:
    seen = make_scene([Thing("ring", "red", "small", "top")])
    heard = make_scene([Thing("ring", "blue", "large", "top"), Thing("star", "red", "small", "left")])
    pair = Pair(seen, heard)
    assert language.canonical(pair) == (
        "you see a small red ring at top, you hear a large blue ring at top, a small red star at left."
    )
    found = {q.text: q.answer for seed in range(60) for q in language.ask_many(pair, random.Random(seed), 8)}
    for text, answer in {
        "do you see or hear a ring?": "both",
        "do you see or hear a star?": "hear",
        "how many red objects do you see or hear?": "two",
        "is there a red object in both?": "yes",
        "is there a star in the picture?": "no",
        "are the object in the picture and the star in the sound the same colour?": "yes",
    }.items():
        assert found[text] == answer
