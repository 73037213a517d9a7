"""One run: launched, supervised, measured in a process of its own, written into a journal that the host follows.

In: a run specification, the model and the inputs on the board. Out: the journal, and the outputs where they are kept.
"""
