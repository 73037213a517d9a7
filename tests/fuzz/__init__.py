"""Fuzzing: bytes that nobody meant to write, through the entry points by which files and messages come in.

`targets` has one function for each kind of input; `bounds` says what counts as a finding; `mutations` changes documents
so that they stay documents. Three things use them: `test_found_cases` replays `seeds/`, `test_mutated_documents` draws
changed documents with Hypothesis, and `python -m tests.fuzz TARGET` searches under the guidance of coverage (atheris).
"""
