"""Statistics of latencies and scores: numpy and scipy only, no knowledge of devices, runs or files.

In: arrays of figures. Out: quantiles, intervals, ratios and differences with their uncertainty, verdicts.
"""
