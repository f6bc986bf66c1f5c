"""Pocket molecules: the SMILES, their facts and what is said of them are the same thing told three ways."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest
from molecule_reading import answer
from molecule_reading import facts_of as read

from midstream.data.rows import check_row
from midstream.errors import InputError
from midstream.pocket.molecules import language
from midstream.pocket.molecules.data import example
from midstream.pocket.molecules.pieces import CHARGED, LINKERS, SCAFFOLDS, SUBSTITUENTS
from midstream.pocket.molecules.truth import facts_of
from midstream.pocket.molecules.world import HELD_OUT, LONGEST, TOKENS, Facts, Molecule, sample
from midstream.pocket.rows import drawn

Chem = pytest.importorskip("rdkit.Chem")
Asked = list[tuple[Molecule, language.Question]]

LIGHT, POLAR = ("none", "light", "nonpolar"), ("none", "light", "polar")
KNOWN = {  # looked up and counted by hand; weights and polar surfaces as PubChem gives them
    "CCO": Facts(0, 0, (("alcohol", 1),), ("oxygen",), *LIGHT),  # ethanol
    "c1ccccc1": Facts(1, 1, (), (), *LIGHT),  # benzene
    "CC(=O)Oc1ccccc1C(=O)O": Facts(1, 1, (("acid", 1), ("ester", 1)), ("oxygen",), *POLAR),  # aspirin, 63.6 A2
    "Cn1cnc2c1c(=O)n(C)c(=O)n2C": Facts(2, 2, (), ("nitrogen", "oxygen"), *POLAR),  # caffeine: all of it is aromatic
    "CC(=O)Nc1ccc(O)cc1": Facts(1, 1, (("phenol", 1), ("amide", 1)), ("nitrogen", "oxygen"), *LIGHT),  # paracetamol
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O": Facts(1, 1, (("acid", 1),), ("oxygen",), *LIGHT),  # ibuprofen
    "CN1CCCC1c1cccnc1": Facts(2, 1, (("amine", 1),), ("nitrogen",), *LIGHT),  # nicotine: a pyridine is no amine
    "[NH3+]CC(=O)[O-]": Facts(0, 0, (("acid", 1), ("amine", 1)), ("nitrogen", "oxygen"), *POLAR),  # glycine
    "C[N+](C)(C)CCO": Facts(0, 0, (("alcohol", 1),), ("nitrogen", "oxygen"), "positive", "light", "nonpolar"),
    "CC(=O)[O-]": Facts(0, 0, (("acid", 1),), ("oxygen",), "negative", "light", "nonpolar"),  # acetate
    "CC(C)=O": Facts(0, 0, (("ketone", 1),), ("oxygen",), *LIGHT),  # acetone
    "CC#N": Facts(0, 0, (("nitrile", 1),), ("nitrogen",), *LIGHT),  # acetonitrile
    "CCOCC": Facts(0, 0, (("ether", 1),), ("oxygen",), *LIGHT),
    "c1ccoc1": Facts(1, 1, (), ("oxygen",), *LIGHT),  # furan: no ether
    "Cc1ccc(cc1)S(N)(=O)=O": Facts(1, 1, (), ("nitrogen", "oxygen", "sulfur"), *POLAR),  # a sulfonamide is no amine
    "FC(F)(F)C(Cl)Br": Facts(0, 0, (), ("fluorine", "chlorine", "bromine"), *LIGHT),  # halothane
    "O=C(O)c1cn(C2CC2)c2cc(N3CCNCC3)c(F)cc2c1=O": Facts(  # ciprofloxacin, 331.3 g/mol
        4, 2, (("acid", 1), ("amine", 2)), ("nitrogen", "oxygen", "fluorine"), "none", "heavy", "polar"
    ),
}


@pytest.fixture(scope="module")
def asked() -> Asked:
    found = []
    for index in range(500):
        molecule = sample("validation", index)
        found += [(molecule, question) for question in language.ask_many(molecule, random.Random(index), 8)]
    return found


@pytest.mark.parametrize("smiles", KNOWN)
def test_rdkit_finds_what_chemists_find(smiles: str) -> None:
    assert facts_of(smiles) == KNOWN[smiles]
    assert [facts for facts in KNOWN.values() if facts == KNOWN[smiles]] == [KNOWN[smiles]]  # no other fits as well


def test_a_molecule_says_the_same_facts_as_rdkit() -> None:
    molecules = [sample(bucket, index) for bucket in ("train", "test") for index in range(200)]
    assert [facts_of(molecule.smiles) for molecule in molecules] == [molecule.facts for molecule in molecules]
    shifted = pairwise(molecules)
    assert sum(facts_of(a.smiles) == b.facts for a, b in shifted) < 0.05 * len(molecules)  # control: the neighbour's


def test_every_piece_weighs_what_rdkit_weighs() -> None:
    from rdkit.Chem.Descriptors import MolWt
    from rdkit.Chem.rdMolDescriptors import CalcTPSA

    def measured(smiles: str) -> tuple[float, float]:
        molecule = Chem.MolFromSmiles(smiles)
        return round(MolWt(molecule), 3), round(CalcTPSA(molecule), 2)

    for scaffold in SCAFFOLDS.values():
        bare = scaffold.text.replace("*", "").replace("~", "")
        assert measured(bare) == (scaffold.mass, scaffold.surface)
        assert scaffold.rings == facts_of(bare).rings and scaffold.aromatic == facts_of(bare).aromatic
    parts = [part for family in (SUBSTITUENTS, CHARGED) for choices in family.values() for part in choices]
    for part, end, base in [(part, "", 16.043) for part in parts] + [(part, "C", 30.07) for part in LINKERS]:
        mass, surface = measured("C" + part.text + end)
        assert (mass - base, surface) == pytest.approx((part.mass, part.surface), abs=2e-3)


def test_a_molecule_is_a_pure_function_of_its_arguments_and_stays_in_its_split() -> None:
    for bucket in ("train", "validation", "test"):
        drawn = [sample(bucket, index, 3) for index in range(60)]
        assert drawn == [sample(bucket, index, 3) for index in range(60)]
        assert {molecule.bucket for molecule in drawn} == {bucket}
    assert [sample("train", i, 0) for i in range(9)] != [sample("train", i, 1) for i in range(9)]


def test_however_it_is_spelt_a_molecule_is_in_one_split() -> None:
    molecules = [sample("train", index) for index in range(150)]
    for molecule in molecules:
        assert len(TOKENS.findall(molecule.smiles)) <= LONGEST
        spelt = Chem.MolToSmiles(Chem.MolFromSmiles(molecule.smiles), doRandom=True)
        assert molecule._replace(smiles=spelt).key == molecule.key
    assert len({molecule.key for molecule in molecules}) > 140  # control: the key is not the same for all
    assert len({Chem.CanonSmiles(sample("train", index).smiles) for index in range(500)}) > 470


def test_held_out_scaffolds_are_kept_out_and_kept_in() -> None:
    patterns = {n: Chem.MolFromSmiles(SCAFFOLDS[n].text.replace("*", "").replace("~", "")) for n in HELD_OUT}

    def has_one(smiles: str) -> bool:
        return any(Chem.MolFromSmiles(smiles).HasSubstructMatch(pattern) for pattern in patterns.values())

    for split in ("train", "validation", "test"):
        assert not any(has_one(drawn(sample, split, index).smiles) for index in range(60))
    assert all(has_one(drawn(sample, "held_out", index).smiles) for index in range(60))
    assert any(has_one(sample("train", index).smiles) for index in range(50))  # control: without the filter


def test_every_description_says_the_whole_molecule() -> None:
    starts: Counter[str] = Counter()
    previous = None
    for index in range(200):
        molecule, rng = sample("train", index), random.Random(index)
        for text in (language.describe(molecule, rng), language.canonical(molecule)):
            assert read(text) == molecule.facts, text
        starts[" ".join(language.describe(molecule, rng, plain=True).split()[:2])] += 1
        assert previous is None or read(language.canonical(molecule)) != previous or molecule.facts == previous
        previous = molecule.facts
    assert len(starts) > 3
    # control: one word changed is another molecule
    aspirin = KNOWN["CC(=O)Oc1ccccc1C(=O)O"]
    text = language.canonical(aspirin)
    assert text == (
        "a light polar molecule with no charge, one ring, one aromatic ring, one acid group, one ester group, oxygen."
    )
    for old, new in (
        ("light", "heavy"),
        ("no charge", "positive charge"),
        ("one ring", "two rings"),
        ("acid", "amide"),
    ):
        assert old in text and read(text.replace(old, new)) != aspirin


def test_every_answer_is_true_under_a_second_reading(asked: Asked) -> None:
    for molecule, question in asked:
        assert answer(question.text, molecule.facts) == question.answer, (molecule, question)
    wrong = 0  # control: of another molecule the same question is often answered otherwise, or makes no sense
    for (molecule, _), (_, question) in zip(asked, asked[40:], strict=False):
        try:
            wrong += answer(question.text, molecule.facts) != question.answer
        except ValueError:
            wrong += 1
    assert wrong > 0.45 * len(asked)


def test_the_question_alone_does_not_give_the_answer(asked: Asked) -> None:
    by_text: dict[str, Counter[str]] = defaultdict(Counter)
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for _, question in asked:
        by_text[question.text][question.answer] += 1
        by_kind[question.kind][question.answer] += 1
    often = [counts for counts in by_text.values() if counts.total() >= 20]
    best = sum(counts.most_common(1)[0][1] for counts in often) / sum(counts.total() for counts in often)
    assert len(often) > 40 and best < 0.58
    assert set(by_kind) == set(language.QUESTION_TYPES)
    limits = {"rings": 0.45, "charge": 0.4, "atom": 0.45}
    for kind, counts in by_kind.items():
        assert counts.most_common(1)[0][1] / counts.total() < limits.get(kind, 0.58), (kind, counts)


def test_the_language_counts_to_four_and_says_so() -> None:
    glucose = facts_of("OCC1OC(O)C(O)C(O)C1O")
    assert glucose.count("alcohol") == 5
    for speak in (language.canonical, lambda facts: language.ask(facts, random.Random(0))):
        with pytest.raises(InputError, match=r"in this molecule is 5; .* counts to 4"):
            speak(glucose)
    assert language.canonical(facts_of("OCC(O)C(O)CO")).count("four alcohol groups") == 1
    assert language.canonical(KNOWN["c1ccccc1"]).endswith("one aromatic ring, only carbon.")
    with pytest.raises(ValueError, match="unknown kind of question"):
        language.ask(KNOWN["CCO"], random.Random(0), "colour")


def test_rows_are_rows() -> None:
    for split in ("train", "validation", "test", "held_out"):
        row = example(split, 3, questions_per_scene=5)
        check_row(row, "here")
        assert row == example(split, 3, questions_per_scene=5) != example(split, 4, questions_per_scene=5)
        first = row["messages"][0]["content"][0]
        assert first["type"] == "molecule" and Chem.CanonSmiles(first["molecule"]) == first["molecule"]
        assert len(row["types"]) == 6 and row["types"].count("describe") == 1
        facts = facts_of(first["molecule"])
        assert read(row["description"]) == facts
        for index, kind in enumerate(row["types"]):
            said = row["messages"][2 * index + 1]["content"][0]["text"]
            question = row["messages"][2 * index]["content"][-1]["text"]
            assert said == (language.canonical(facts) if kind == "describe" else answer(question, facts))
    with pytest.raises(ValueError, match="unknown split"):
        example("all", 0)  # type: ignore[arg-type]


def test_a_corpus_can_draw_thousands_a_second() -> None:
    rng, started = random.Random(0), time.process_time()
    for index in range(500):
        language.describe(sample("train", index), rng)
    assert (time.process_time() - started) / 500 < 1e-3


def test_without_rdkit_the_language_works_and_a_row_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(name: str) -> Any:
        return monkeypatch.setitem(sys.modules, name, None)

    example("train", 0)
    forget("rdkit")
    assert language.ask_many(sample("train", 0), random.Random(0), 3)
    with pytest.raises(InputError, match=r"pip install 'midstream\[molecules\]'"):
        example("train", 0)
