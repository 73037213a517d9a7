"""Inputs from public bug reports, by theme: each is a case of a kind."""
