"""From runs to statements: what a run amounts to, whether it counts, what may be said of two. No files, no board.

In: runs and subjects. Out: measurements, reasons against runs, comparisons, scores joined to measurements, fronts.
"""
