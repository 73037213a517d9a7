"""Runtimes: what can run a model on the board. To add one: a module here, and a row in the table of `registry`.

In: the path of a model, threads and providers. Out: a loaded model that takes arrays and returns arrays.
"""
