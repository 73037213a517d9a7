"""The board: its facts, its sensors, and what else runs on it.

In: the kernel's files and the vendors' commands, below a root that tests replace. Out: numbers and names; None where
the board does not give one.
"""
