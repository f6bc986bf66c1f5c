"""SMILES from outside: one canonical text or one clear sentence, within a bounded time."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream.errors import InputError
from midstream.media.molecules import MAX_SMILES_CHARACTERS, load_molecule
from midstream.pocket.molecules.world import sample

Chem = pytest.importorskip("rdkit.Chem")

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
FULLERENE = (
    "c12c3c4c5c1c1c6c7c2c2c8c3c3c9c4c4c%10c5c5c1c1c6c6c%11c7c2c2c7c8c3c3c8c9c4c4c9c%10c5c5c1c1c6c6c%11c2c2c7c3c3c8c4"
    "c4c9c5c1c1c6c2c3c41"
)


@pytest.mark.parametrize(
    "source",
    [ASPIRIN, f" {ASPIRIN}\n", {"smiles": ASPIRIN}, "OC(=O)c1ccccc1OC(C)=O", "C1=CC=CC(OC(=O)C)=C1C(O)=O",
     "[CH3:7]C(=O)Oc1ccccc1C(=O)O", "[H]OC(=O)c1ccccc1OC(C)=O"],
)  # fmt: skip
def test_every_spelling_gives_one_text(source: object) -> None:
    assert load_molecule(source) == ASPIRIN


def test_what_is_another_molecule_stays_another() -> None:
    spellings = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O", "CC([NH3+])C(=O)[O-]", "[13CH3]C(N)C(=O)O"]
    assert len({load_molecule(smiles) for smiles in spellings}) == 5


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "SMILES is empty"),
        ("  \n", "SMILES is empty"),
        ("C" * 1001, r"1,001 characters, more than the 1,000 .* smaller molecule"),
        ("c1ccccc", "not a SMILES"),
        ("C1CC", "not a SMILES"),
        ("[C", "not a SMILES"),
        ("()", "not a SMILES"),
        ("C(C)(C)(C)(C)C", "no possible molecule .* greater than permitted.*correct"),
        ("c1cccc1", "no possible molecule .*kekulize.*correct"),
        ("[Na+].[Cl-]", r"several fragments \(a dot\); give one molecule"),
        ("C1.C1", "several fragments"),
        ("CCO.", "several fragments"),
        ("*c1ccccc1", r"unknown atom \(\*\)"),
        ("CCO ethanol", "' ', which no SMILES has"),
        ("CC>>CO", "'>', which no SMILES has"),
        ("C\0C", r"'\\x00', which no SMILES has"),
        ("CÖ", "'Ö', which no SMILES has"),
        ("water", "'w', which no SMILES has"),
        (float("nan"), r"not float \(nan\)"),
        (17, r"not int \(17\)"),
        (None, "not NoneType"),
        (b"CCO", "not bytes"),
        ({}, 'needs the key "smiles"; this one has nothing'),
        ({"inchi": "x"}, "this one has inchi"),
        ({"smiles": float("inf")}, r"not float \(inf\)"),
    ],
)
def test_each_bad_molecule_gets_one_sentence(source: object, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=said) as caught:
        load_molecule(source)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    assert capfd.readouterr() == ("", "")  # RDKit's own grumbling is silenced


def _damaged(smiles: str, rng: random.Random) -> str:
    letters = list(smiles)
    for _ in range(rng.randint(1, 6)):
        place, strange = rng.randrange(len(letters) + 1), rng.choice("CNOSPFclnos()[]=#123+-@/\\%B.Hr*$: \n\0é")
        cut = slice(place, place + rng.randint(0, 2))
        letters[cut] = rng.choice(([], [strange], list("[C@@H]"), letters[:8]))
    return "".join(letters)


def test_two_thousand_damaged_molecules_end_in_a_molecule_or_a_sentence() -> None:
    rng = random.Random(5)
    whole = [sample("train", index).smiles for index in range(200)] + [ASPIRIN, FULLERENE, "C[C@H](N)C(=O)O", "F/C=C/F"]
    read = refused = 0
    for _ in range(2000):
        started = time.process_time()
        try:
            text = load_molecule(_damaged(rng.choice(whole), rng))
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            read += 1
            assert load_molecule(text) == text
        assert time.process_time() - started < 1
    assert read > 100 and refused > 100


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=80))
def test_any_text_ends_in_a_molecule_or_a_sentence(text: str) -> None:
    try:
        smiles = load_molecule(text)
    except InputError:
        return
    assert Chem.MolFromSmiles(smiles) is not None


def test_the_largest_molecules_take_less_than_seconds() -> None:
    cage = "[U]" + "".join(f"%{n}" for n in range(10, 40)) + "".join(f"[U]%{n}" for n in range(10, 40))
    for smiles in ("C" * MAX_SMILES_CHARACTERS, "c1ccccc1" * 120, "C(C)" * 240, FULLERENE, cage, "(" * 1000):
        started = time.process_time()
        try:
            load_molecule(smiles)
        except InputError as error:
            assert smiles[0] in "[("
            assert "SMILES" in str(error)
        assert time.process_time() - started < 5
