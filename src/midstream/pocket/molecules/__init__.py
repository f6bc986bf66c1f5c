"""The pocket world of molecules: SMILES built from scaffolds, linkers and substituents, and facts one can ask about."""
