"""How answers are scored, and evaluation beside its controls."""
