"""Search for a server's rate: probe runs at several rates, then planned runs, which must confirm the rate found."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgebench.analysis import duration_ns, reasons_against, utilisation
from edgebench.errors import NotValid, UsageError
from edgebench.measure.budget import pilot_plan
from edgebench.measure.cells import Cell
from edgebench.measure.context import Session
from edgebench.measure.probes.search_time import ALONE, QUERIES, SearchTime, shown_time
from edgebench.measure.progress import progress_reporter
from edgebench.measure.runs import RunEnded, measure_runs
from edgebench.reason import ReasonCode
from edgebench.run import Run
from edgebench.stats import Probe, RateSearch, percentile_bound_holds, quantiles, queue_bound_holds
from edgebench.text import counted, significant
from edgebench.workload import RunPlan, Scenario

_LONGER = 3.0  # a probe or run may take so many times the expected time
_AT_LEAST_S = 60.0
_IN_BUDGET = 1.2  # the same where a budget must be kept


class OutOfTime(Exception):
    """The budget ended before a rate was confirmed; `cell`: what was measured last."""

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell.subject.id)
        self.cell = cell


class RateFinder:
    """Finds the rate of one cell whose workload has a latency bound; the store keeps its search after each probe."""

    def __init__(self, session: Session, cell: Cell) -> None:
        self._session, self._cell = session, cell
        self._bound_ms = cell.workload.latency_bound_ms or 0.0
        self._search: RateSearch | None = session.store.search(cell.subject.id)
        self._time = SearchTime(plan=session.request.plan)
        if self._search is not None:
            self._search = replace(self._search, out_of_time=False)
            self._log(f"resuming the search with its {counted(len(self._search.probes), 'stored probe')}")

    def _log(self, text: str) -> None:
        self._session.log(f"{self._cell.name}: {text}")

    def cell(self, within_s: float | None, done: Mapping[str, Sequence[Run]]) -> Cell:
        """Search as far as needed; return the cell at the rate that its planned runs are to confirm.

        Args:
            within_s: how long the search and these runs may take, seconds; None: no budget.
            done: the runs that a resumed session has already, by the id of their measurement.

        Raises:
            NotValid: p99 is over the bound at every rate, or without any waiting.
            OutOfTime: the time ends before a rate can be confirmed; the store keeps what was found.
            UsageError: not even the first measurement of the search fits.
        """
        self._time.deadline_s = None if within_s is None else time.monotonic() + within_s
        search = self._search or self._without_waiting()
        while (rate := search.next_rate()) is not None:
            if not self._has_time_to_probe(search, rate):
                search = self._settle(search)
                break
            probe = self._probe(rate, len(search.probes) + 1)
            search = self._keep(replace(search, probes=(*search.probes, probe)))
            doubt = f"; not valid: {'; '.join(probe.reasons)}" if probe.reasons else ""
            self._log(f"probe: {_describe(probe, self._bound_ms)}{doubt}; {self._progress(search)}")
        found = search.candidate()
        if found is None:
            raise self._why_none(search)
        cell = at_rate(self._cell, found, search.times_lowered)
        if not done.get(cell.subject.id) and self._time.confirm_s(found) > self._time.left_s():
            raise self._out_of_time(search)
        return cell

    def confirm_s(self, cell: Cell) -> float:
        """Return how long the planned runs of a cell take, seconds."""
        return self._time.confirm_s(cell.workload.queries_per_s or math.inf)

    def _has_time_to_probe(self, search: RateSearch, rate: float) -> bool:
        """Whether a probe fits, beside the runs that confirm what is found already, if these fit at all."""
        left_s, (low, _) = self._time.left_s(), search.bracket
        reserved_s = self._time.confirm_s(low) if low is not None else 0.0
        return left_s >= self._time.probe_s(rate) + (reserved_s if reserved_s <= left_s else 0.0)

    def _settle(self, search: RateSearch) -> RateSearch:
        low, high = search.bracket
        if low is None or self._time.confirm_s(low) > self._time.left_s():
            raise self._out_of_time(search)
        self._log(
            f"no more probes fit into the budget; confirming {significant(low)}/s, although {significant(high)}/s "
            "may be near"
        )
        return self._keep(replace(search, settled=True))

    def _out_of_time(self, search: RateSearch) -> OutOfTime:
        self._keep(replace(search, out_of_time=True))
        self._log(
            f"the budget ends before a rate is confirmed; {bracket_text(search)}; go on with: edgebench runs resume "
            f"{self._cell.subject.session}"
        )
        tried = next((probe.queries_per_s for probe in reversed(search.probes) if probe.runs), None)
        return OutOfTime(self._cell if tried is None else at_rate(self._cell, tried, search.times_lowered - 1))

    def _progress(self, search: RateSearch) -> str:
        return f"{bracket_text(search)}; about {shown_time(self._time.estimate_s(search))} left"

    def _why_none(self, search: RateSearch) -> NotValid:
        last = search.probes[-1]
        if last.runs and not last.over_bound and (last.utilisation or 0.0) < 1:
            return NotValid(
                f"{self._cell.name}: no query of {last.queries} was over {self._bound_ms:g} ms at "
                f"{significant(last.queries_per_s)}/s, but so few can't confirm the rate, because queries wait for "
                "each other",
                hint="raise `min_count`",
            )
        lowest = min(probe.queries_per_s for probe in search.probes)
        return NotValid(
            f"{self._cell.name}: no rate keeps p99 under {self._bound_ms:g} ms, not even {significant(lowest)}/s; a "
            f"query takes {significant(search.service_ms)} ms if no query waits",
            hint="raise `latency_bound_ms`",
        )

    def is_confirmed(self, cell: Cell, runs: Sequence[Run]) -> bool:
        """Whether nothing is left to do: the planned runs kept the bound at the cell's rate, or do not count anyway."""
        judged = [run for run in runs if {reason.code for reason in run.reasons} <= {ReasonCode.OVERLOADED}]
        search, rate = self._search, cell.workload.queries_per_s
        if search is None or rate is None or len(judged) < cell.subject.planned_runs:
            return True
        if search.qps is None:
            probe = replace(_probe_of(judged, rate, self._bound_ms), runs=len(judged))
            confirmed = queue_bound_holds([run.latencies_ns for run in judged], self._bound_ms * 1e6)
            grows = probe.utilisation is not None and probe.utilisation >= 1
            probe = replace(probe, holds=confirmed and not grows)
            search = self._keep(replace(search, probes=(*search.probes, probe)))
            if not probe.holds:
                self._log(
                    f"{_describe(probe, self._bound_ms)} in {probe.runs} runs: not confirmed; trying a lower rate"
                )
        return search.qps is not None

    def _keep(self, search: RateSearch) -> RateSearch:
        self._search = search
        self._session.store.write_search(self._cell.subject.id, search)
        return search

    def _without_waiting(self) -> RateSearch:
        """Measure the latency of queries that never wait, which bounds every rate."""
        alone = replace(
            self._cell,
            workload=replace(
                self._cell.workload, scenario=Scenario.SINGLE_STREAM, queries_per_s=None, latency_bound_ms=None
            ),
        )
        pilot = self._measure(alone, pilot_plan(self._session.request.plan), 0)
        query_s = duration_ns(pilot) / 1e9 / max(1, len(pilot.latencies_ns))
        self._announce(query_s)
        run = self._measure(alone, RunPlan(runs=1, min_count=ALONE, max_duration_s=3600), 0)
        found = _probe_of([run], 0.0, self._bound_ms)
        (service_ns,) = quantiles(run.latencies_ns, (0.5,))
        if not found.holds or service_ns is None:
            p50_ms, p99_ms = (service_ns or 0) / 1e6, found.p99_ms or 0
            raise NotValid(
                f"{self._cell.name}: no rate keeps p99 under {self._bound_ms:g} ms: a query takes {p50_ms:.4g} ms "
                f"(p50; p99 {p99_ms:.4g} ms) if no query waits",
                hint="raise `latency_bound_ms`",
            )
        search = RateSearch(latency_bound_ms=self._bound_ms, service_ms=max(service_ns, 1) / 1e6)
        self._log(
            f"p50 {significant(search.service_ms)} ms if no query waits: at most {significant(search.limit_qps)}/s; "
            f"searching the rate that keeps p99 under {self._bound_ms:g} ms, {QUERIES:,} queries a probe"
        )
        return self._keep(search)

    def _announce(self, query_s: float) -> None:
        """Report how long the whole search takes, before it begins.

        Raises:
            UsageError: not even the first measurement fits into the budget.
        """
        guess, time_ = RateSearch(latency_bound_ms=self._bound_ms, service_ms=1000 * max(query_s, 1e-6)), self._time
        first_s, left_s, plan = time_.alone_s(query_s), time_.left_s(), self._session.request.plan
        about_s = first_s + time_.estimate_s(guess)
        if first_s > left_s:
            raise UsageError(
                f"{self._cell.name}: the budget leaves {max(0.0, left_s):.0f} s for the search, and its first part, "
                f"{ALONE} queries one at a time, takes {shown_time(first_s)}; all of it about {shown_time(about_s)}",
                hint=f"try `budget_s={math.ceil(about_s)}`",
            )
        ends = "" if about_s <= left_s else f"; the budget leaves {shown_time(left_s)}, and ends it earlier"
        self._log(
            f"the search takes about {shown_time(about_s)}, at most about {shown_time(first_s + time_.most_s(guess))}: "
            f"{ALONE} queries one at a time, some {guess.probes_left} probes of {QUERIES:,}, then {plan.runs} runs of "
            f"{plan.min_count:,}, repeated at a lower rate until they confirm one{ends}"
        )

    def _probe(self, rate: float, number: int) -> Probe:
        longest_s = max(_AT_LEAST_S, _LONGER * QUERIES / rate)
        if self._time.deadline_s is not None:
            longest_s = min(longest_s, max(_IN_BUDGET * QUERIES / rate, self._time.left_s()))
        plan = RunPlan(runs=1, min_count=QUERIES, min_duration_s=0, max_duration_s=longest_s)
        run = self._measure(at_rate(self._cell, rate, 0), plan, number)
        found = reasons_against(run, plan, margin=self._session.request.margin)
        reasons = tuple(each.text for each in found if each.code is not ReasonCode.OVERLOADED)
        return replace(_probe_of([run], rate, self._bound_ms), reasons=reasons)

    def _measure(self, cell: Cell, plan: RunPlan, number: int) -> Run:
        run_id = f"{cell.subject.id}-probe-{secrets.token_hex(3)}"
        watch = progress_reporter(self._session, cell, number)
        began_s = time.monotonic()
        try:
            (run,) = measure_runs(self._session, [cell], plan, run_ids=[run_id], watch=watch)
        except RunEnded as ended:
            raise ended.why from ended
        self._time.learn(time.monotonic() - began_s, duration_ns(run) / 1e9)
        return run


def bracket_text(search: RateSearch) -> str:
    """Return in words between which rates the search is."""
    low, high = search.bracket
    lower = f"{significant(low)}/s held in a probe" if low is not None else "no rate has held yet"
    upper = (
        f"{significant(high)}/s did not"
        if any(not each.runs for each in search.probes) and high < search.limit_qps
        else ""
    )
    return ", ".join(part for part in (lower, upper) if part)


def at_rate(cell: Cell, rate: float, times_lowered: int) -> Cell:
    """Return a cell at a rate; after runs did not confirm a higher rate, it is a measurement with an id of its own."""
    workload = replace(cell.workload, queries_per_s=rate)
    subject = replace(
        cell.subject,
        id=searched_id(cell.subject.id) + (f".{times_lowered}" if times_lowered else ""),
        workload=dict(cell.subject.workload) | {"queries_per_s": rate},
        label=workload.label,
    )
    return replace(cell, subject=subject, workload=workload)


def searched_id(id: str) -> str:
    """Return the id of the first measurement of a search, under which the store keeps the search."""
    return id.partition(".")[0]


def plan_at(cell: Cell, plan: RunPlan) -> RunPlan:
    """Return the plan with enough time for the queries of a rate that was searched."""
    rate = cell.workload.queries_per_s
    if cell.workload.latency_bound_ms is None or rate is None:
        return plan
    needed_s = _LONGER * plan.min_count / rate
    return replace(plan, max_duration_s=max(plan.max_duration_s, needed_s))


def _probe_of(runs: Sequence[Run], rate: float, bound_ms: float) -> Probe:
    """Return what runs at a rate show if their queries are taken as independent.

    Where the queue grows, a longer run would break any bound.
    """
    import numpy as np

    latencies = np.concatenate([run.latencies_ns for run in runs])
    count, over = len(latencies), int((latencies > bound_ms * 1e6).sum())
    (p99_ns,) = quantiles(latencies, (0.99,))
    used = max((part for run in runs if (part := utilisation(run)) is not None), default=None)
    return Probe(
        queries_per_s=rate,
        queries=count,
        over_bound=over,
        p99_ms=p99_ns / 1e6 if p99_ns is not None else None,
        holds=percentile_bound_holds(count, over) and (used is None or used < 1),
        utilisation=used,
    )


def _describe(probe: Probe, bound_ms: float) -> str:
    verdict = "holds" if probe.holds else "does not hold"
    p99 = f", p99 {probe.p99_ms:.4g} ms" if probe.p99_ms is not None else ""
    if probe.utilisation is not None and probe.utilisation >= 1:
        return f"{significant(probe.queries_per_s)}/s {verdict}: the queue grows"
    over = f"{probe.over_bound} of {probe.queries} queries over {bound_ms:g} ms"
    return f"{significant(probe.queries_per_s)}/s {verdict}: {over}{p99}"
