"""Closed forms: sizes left open as symbols, formulas in words and numbers, the inverse question, and sweeps."""
