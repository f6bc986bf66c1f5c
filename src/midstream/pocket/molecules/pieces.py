"""The building blocks of pocket molecules: scaffolds, linkers and substituents, with what each adds to the facts.

Data only. Every number here is what RDKit computes for the piece; the tests compute it again. In a scaffold's text
``*`` marks a place on an aromatic carbon and ``~`` one on a saturated carbon where something may be attached; its first
atom is always a carbon that can be attached to.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Scaffold(NamedTuple):
    """A ring system or chain: text with marks, molar mass (g/mol), polar surface (square angstrom), rings, groups."""

    text: str
    mass: float
    surface: float
    rings: int = 0
    aromatic: int = 0
    groups: tuple[str, ...] = ()


class Part(NamedTuple):
    """A linker or substituent: text, mass and polar surface it adds, and the groups it adds."""

    text: str
    mass: float
    surface: float
    groups: tuple[str, ...] = ()


SCAFFOLDS: Final = {
    "hexane": Scaffold("CC~C~CC~C", 86.178, 0.0),
    "methylhexane": Scaffold("CC(C)~CC~C~C", 100.205, 0.0),
    "cyclopentane": Scaffold("C1C~CC~C1", 70.135, 0.0, 1),
    "cyclohexane": Scaffold("C1C~CC~CC1~", 84.162, 0.0, 1),
    "piperidine": Scaffold("C1C~CNCC1~", 85.150, 12.03, 1, 0, ("amine",)),
    "oxane": Scaffold("C1C~COCC1~", 86.134, 9.23, 1, 0, ("ether",)),
    "morpholine": Scaffold("C1C~OCC~N1C", 101.149, 12.47, 1, 0, ("amine", "ether")),
    "decalin": Scaffold("C1C~CC2C~CC~CC2C1", 138.254, 0.0, 2),
    "benzene": Scaffold("c1c*c*c*c*c1*", 78.114, 0.0, 1, 1),
    "pyridine": Scaffold("c1c*nc*c*c1*", 79.102, 12.89, 1, 1),
    "pyrimidine": Scaffold("c1c*nc*nc1*", 80.090, 25.78, 1, 1),
    "thiophene": Scaffold("c1c*c*sc1*", 84.143, 0.0, 1, 1),
    "furan": Scaffold("c1c*c*oc1*", 68.075, 13.14, 1, 1),
    "imidazole": Scaffold("c1c*n(C)c*n1", 82.106, 17.82, 1, 1),
    "naphthalene": Scaffold("c1c*cc2c*cc*cc2c1*", 128.174, 0.0, 2, 2),
    "quinoline": Scaffold("c1c*nc2c*cc*cc2c1*", 129.162, 12.89, 2, 2),
    "indole": Scaffold("c1c*c2c*cc*cc2[nH]1", 117.151, 15.79, 2, 2),
    "benzofuran": Scaffold("c1c*c2c*cc*cc2o1", 118.135, 13.14, 2, 2),
    "indane": Scaffold("C1C~c2c*cc*cc2C1", 118.179, 0.0, 2, 1),
    "tetralin": Scaffold("C1C~Cc2c*c*ccc2C1", 132.206, 0.0, 2, 1),
}

LINKERS: Final = (
    Part("", 0.0, 0.0),
    Part("C", 14.027, 0.0),
    Part("CC", 28.054, 0.0),
    Part("CO", 30.026, 9.23, ("ether",)),
    Part("O", 15.999, 9.23, ("ether",)),
    Part("NC", 29.042, 12.03, ("amine",)),
    Part("C(=O)N", 43.025, 29.10, ("amide",)),
    Part("C(=O)", 28.010, 17.07, ("ketone",)),
    Part("C(=O)C", 42.037, 17.07, ("ketone",)),
    Part("C(=O)O", 44.009, 26.30, ("ester",)),
    Part("CS", 46.094, 0.0),
)

# "alcohol" and "phenol" share the bare O: which of the two it is depends on the carbon it sits on.
SUBSTITUENTS: Final[dict[str, tuple[Part, ...]]] = {
    "hydroxyl": (Part("O", 15.999, 20.23),),
    "alcohol": (Part("CO", 30.026, 20.23, ("alcohol",)), Part("CCO", 44.053, 20.23, ("alcohol",))),
    "acid": (Part("C(=O)O", 44.009, 37.30, ("acid",)), Part("CC(=O)O", 58.036, 37.30, ("acid",))),
    "amine": (
        Part("N", 15.015, 26.02, ("amine",)),
        Part("CN", 29.042, 26.02, ("amine",)),
        Part("NC", 29.042, 12.03, ("amine",)),
        Part("CN(C)C", 57.096, 3.24, ("amine",)),
    ),
    "amide": (
        Part("C(=O)N", 43.025, 43.09, ("amide",)),
        Part("C(=O)NC", 57.052, 29.10, ("amide",)),
        Part("NC(=O)C", 57.052, 29.10, ("amide",)),
    ),
    "ester": (
        Part("C(=O)OC", 58.036, 26.30, ("ester",)),
        Part("OC(=O)C", 58.036, 26.30, ("ester",)),
        Part("CC(=O)OC", 72.063, 26.30, ("ester",)),
    ),
    "ether": (
        Part("OC", 30.026, 9.23, ("ether",)),
        Part("OCC", 44.053, 9.23, ("ether",)),
        Part("COC", 44.053, 9.23, ("ether",)),
    ),
    "ketone": (Part("C(=O)C", 42.037, 17.07, ("ketone",)), Part("CC(=O)C", 56.064, 17.07, ("ketone",))),
    "nitrile": (Part("C#N", 25.010, 23.79, ("nitrile",)), Part("CC#N", 39.037, 23.79, ("nitrile",))),
    "fluorine": (Part("F", 17.990, 0.0),),
    "chlorine": (Part("Cl", 34.445, 0.0),),
    "bromine": (Part("Br", 78.896, 0.0),),
    "sulfur": (Part("SC", 46.094, 0.0), Part("CSC", 60.121, 0.0)),
    "carbon": (Part("C", 14.027, 0.0), Part("CC", 28.054, 0.0), Part("C(C)C", 42.081, 0.0)),
}

CHARGED: Final = {
    "positive": (
        Part("[NH3+]", 16.023, 27.64, ("amine",)),
        Part("C[NH3+]", 30.050, 27.64, ("amine",)),
        Part("C[N+](C)(C)C", 72.131, 0.0),
    ),
    "negative": (
        Part("C(=O)[O-]", 43.001, 40.13, ("acid",)),
        Part("CC(=O)[O-]", 57.028, 40.13, ("acid",)),
        Part("S(=O)(=O)[O-]", 79.056, 57.20),
        Part("CS(=O)(=O)[O-]", 93.083, 57.20),
    ),
}
