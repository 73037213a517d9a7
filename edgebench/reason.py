"""Why a run or a measurement does not count: a code for programs, a text for people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class ReasonCode(StrEnum):
    """What is wrong, whatever the text says of it."""

    INCOMPLETE = "incomplete"  # the board did not report all that belongs to a run
    THROTTLED = "throttled"
    CLOCK_TOO_LOW = "clock_too_low"
    TEMPERATURE_CHANGED = "temperature_changed"
    OTHERS_WORKED = "others_worked"  # other processes kept the board busy
    STOLEN = "stolen"  # a hypervisor gave the processor to other machines
    QUOTA = "quota"  # a control group's quota stopped the run for a time
    FAULTED = "faulted"  # memory was read back from the disk
    SWAPPED = "swapped"
    CLOCKSOURCE_CHANGED = "clocksource_changed"
    WARM_UP_NOT_ENDED = "warm_up_not_ended"
    NOT_STEADY = "not_steady"  # latencies drifted
    DRIFTED_APART = "drifted_apart"  # ... those of models that alternate, from each other
    TOO_FEW_OBSERVATIONS = "too_few_observations"
    NO_COMPLETE_PASS = "no_complete_pass"  # noqa: S105 - a pass, not a password
    OVERLOADED = "overloaded"  # the queue of a server grows
    PROVIDER_FELL_BACK = "provider_fell_back"
    PARTNER = "partner"  # a model that it alternates with has a reason of its own
    PARTNER_MISSING = "partner_missing"  # ... has no run in the store
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    RUNS_DIFFER = "runs_differ"  # of a measurement: its runs had different clocks or power modes
    NOT_JUDGED = "not_judged"  # too short for the rules; no reason against a run
    TOO_FEW_RUNS = "too_few_runs"  # of a measurement: fewer valid runs than planned
    RATE_NOT_CONFIRMED = "rate_not_confirmed"  # of a measurement: the search of its rate has not ended
    OTHER = "other"  # stored by an edgebench that wrote no codes, or knows more of them


class State(StrEnum):
    """Whether figures can be trusted, as far as the rules can say."""

    VALID = "valid"  # judged, and nothing speaks against it
    NOT_JUDGED = "not judged"  # nothing speaks against it, but it was too short for the rules
    NOT_VALID = "not valid"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason against a run or a measurement. The text names no figure of one run: alike troubles read alike."""

    code: ReasonCode
    text: str

    def __str__(self) -> str:
        return self.text

    def of_partner(self) -> Reason:
        """Return the reason that this one is against the models that alternate with the one it is about."""
        return Reason(ReasonCode.PARTNER, f"of a model that it alternates with: {self.text}")


def texts_of(reasons: Iterable[Reason]) -> list[str]:
    """Return the texts alone."""
    return [reason.text for reason in reasons]


def joined(reasons: Iterable[Reason]) -> str:
    """Return the texts as one."""
    return "; ".join(texts_of(reasons))


def reasons_from_json(texts: Iterable[str], codes: Iterable[str] | None) -> tuple[Reason, ...]:
    """Return the reasons of a stored run. `codes` None: it has none, and they are derived from its texts.

    Raises:
        ValueError: there are not as many codes as texts.
    """
    if codes is None:
        return tuple(Reason(_code_of_text(text), text) for text in texts)
    return tuple(Reason(_known(code), text) for text, code in zip(texts, codes, strict=True))


def _known(code: str) -> ReasonCode:
    try:
        return ReasonCode(code)
    except ValueError:
        return ReasonCode.OTHER


#: How the texts of edgebenches that wrote no codes begin.
_BEGINNINGS = (
    (ReasonCode.PARTNER, r"beside it: "),
    (ReasonCode.PARTNER_MISSING, r"the run of a model that it alternated with is missing"),
    (ReasonCode.FAILED, r"failed: "),
    (ReasonCode.INTERRUPTED, r"interrupted before its end"),
    (ReasonCode.INCOMPLETE, r"the board did not tell "),
    (ReasonCode.CLOCK_TOO_LOW, r"the clock was below "),
    (ReasonCode.TEMPERATURE_CHANGED, r"the temperature changed by "),
    (ReasonCode.OTHERS_WORKED, r"other processes used more than "),
    (ReasonCode.FAULTED, r"memory was read back from the disk "),
    (ReasonCode.SWAPPED, r"the board swapped memory "),
    (ReasonCode.CLOCKSOURCE_CHANGED, r"the kernel changed the clock "),
    (ReasonCode.WARM_UP_NOT_ENDED, r"warm-up was not seen to end"),
    (ReasonCode.NOT_STEADY, r"latencies (grew|fell) by more than "),
    (ReasonCode.DRIFTED_APART, r"the models that alternated drifted apart "),
    (ReasonCode.TOO_FEW_OBSERVATIONS, r"fewer than \d+ inferences in "),
    (ReasonCode.NO_COMPLETE_PASS, r"not one whole turn "),
    (ReasonCode.OVERLOADED, r"queries arrived faster than "),
    (ReasonCode.PROVIDER_FELL_BACK, r"\w+ (was asked for, but|runs none of the graph's nodes;) "),
    (ReasonCode.THROTTLED, r"(under-voltage|clock capped|throttled|soft temperature limit)( and .*)? during the run"),
)


def _code_of_text(text: str) -> ReasonCode:
    return next((code for code, beginning in _BEGINNINGS if re.match(beginning, text)), ReasonCode.OTHER)
