"""Runs that do not count: a session comes in; idle power, overhead, cold starts, operator profiles and rates come out.

A probe that fails is reported and ends no session; only a rate that can't be found is an error.
"""

from __future__ import annotations

from edgebench.measure.probes.overhead import measure_overhead

__all__ = ["measure_overhead"]
