"""Sweeps: many runs from one file, cell by cell, each with its controls, in one tidy table."""
