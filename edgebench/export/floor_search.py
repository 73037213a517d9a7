"""Floor search: the layers to keep in a higher precision so that a quantised file reaches a quality floor.

Each layer is tried alone first: how much smaller is the error if only this one is kept? Layers are then kept in the
order of that gain for each byte, as few as reach the floor (bisection), and each of them that is not needed after all
is taken back, the largest first. In the end the file falls below the floor without any one of them. That is no proof
that no other set is smaller: errors of layers are not quite independent.

The search looks at its own inputs only. If its result is below the floor on the inputs held out, it goes on with both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgebench.quality import FloorValues


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A layer in a higher precision; `bytes` is what that takes more. A layer may have several choices."""

    layer: str
    weights: tuple[str, ...]
    precision: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a file with some layers kept gives for the search's inputs: the floor's measure, and the outputs' error."""

    value: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Without:
    """The measure of a file without one of its choices, and whether it is of the inputs held out."""

    value: float
    is_held_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found.

    Attributes:
        is_reached: the floor; else `kept` are the choices with the best values there were.
        without: for each choice, the measure without it, which is below the floor; empty if that is not reached. It is
            of the search's inputs, unless that is not below: then of those held out.
    """

    is_reached: bool
    kept: tuple[Choice, ...]
    without: Mapping[Choice, Without]
    after: FloorValues
    held_out_decided: bool
    trials: int


class FloorSearch:
    """A search for the choices with which a file reaches a floor."""

    def __init__(
        self,
        choices: Sequence[Choice],
        measure: Callable[[frozenset[Choice]], Trial],
        measure_held_out: Callable[[frozenset[Choice]], float],
        floor: float,
    ) -> None:
        """Prepare a search.

        Args:
            measure: returns what a file with these choices gives; they are of different layers.
            measure_held_out: returns the floor's measure for the inputs held out.
        """
        self._choices = choices
        self._measure, self._measure_held_out = measure, measure_held_out
        self._floor = floor
        self._trials: dict[frozenset[Choice], Trial] = {}
        self._held_out_values: dict[frozenset[Choice], float] = {}
        self._with_held_out = False

    def run(self) -> Found:
        """Return the choices to make."""
        order = self._in_order()
        kept = self._shortest(order)
        if kept is not None:
            kept = self._needed(kept)
            if not self._held_out(kept) >= self._floor:
                self._with_held_out = True
                kept = self._extended(kept, order)
        if kept is None:
            best = max(self._trials, key=lambda tried: (self._trials[tried].value, -_bytes(tried)))
            return self._found(best, is_reached=False)
        return self._found(kept, is_reached=True)

    def _trial(self, kept: Iterable[Choice]) -> Trial:
        chosen = frozenset(kept)
        if chosen not in self._trials:
            self._trials[chosen] = self._measure(chosen)
        return self._trials[chosen]

    def _held_out(self, kept: frozenset[Choice]) -> float:
        if kept not in self._held_out_values:
            self._held_out_values[kept] = self._measure_held_out(kept)
        return self._held_out_values[kept]

    def _reaches(self, kept: Iterable[Choice]) -> bool:
        chosen = frozenset(kept)
        if not self._trial(chosen).value >= self._floor:
            return False
        return not self._with_held_out or self._held_out(chosen) >= self._floor

    def _in_order(self) -> list[Choice]:
        """Return the choices, that with the largest gain for each byte first."""
        before = self._trial(()).error
        worth: dict[Choice, float] = {}
        for layer in dict.fromkeys(choice.layer for choice in self._choices):
            spent, gained = 0, 0.0
            for choice in sorted((each for each in self._choices if each.layer == layer), key=lambda each: each.bytes):
                gain = before - self._trial([choice]).error
                worth[choice] = (gain - gained) / max(1, choice.bytes - spent)
                spent, gained = choice.bytes, gain
        return sorted(worth, key=lambda choice: (-worth[choice], choice.bytes))

    def _shortest(self, order: Sequence[Choice]) -> frozenset[Choice] | None:
        """Return the shortest beginning of the order that reaches the floor, by bisection; None: all of it does not."""
        if self._reaches(()):
            return frozenset()
        if not self._reaches(_largest(order)):
            return None
        below, reaching = 0, len(order)
        while reaching - below > 1:
            middle = (below + reaching) // 2
            if self._reaches(_largest(order[:middle])):
                reaching = middle
            else:
                below = middle
        return _largest(order[:reaching])

    def _needed(self, kept: frozenset[Choice]) -> frozenset[Choice]:
        """Return the choices that are needed: without any one of them, the floor is not reached."""
        changed = True
        while changed:
            changed = False
            for choice in sorted(kept, key=lambda each: (-each.bytes, each.layer)):
                others = kept - {choice}
                for instead in [others, *(others | {lower} for lower in self._lower(choice))]:
                    if self._reaches(instead):
                        kept, changed = instead, True
                        break
        return kept

    def _lower(self, choice: Choice) -> list[Choice]:
        """Return the choices of the same layer that take fewer bytes, the smallest first."""
        lower = [each for each in self._choices if each.layer == choice.layer and each.bytes < choice.bytes]
        return sorted(lower, key=lambda each: each.bytes)

    def _extended(self, kept: frozenset[Choice], order: Sequence[Choice]) -> frozenset[Choice] | None:
        """Return the choices and as many more, in order, as reach the floor on the inputs held out, too."""
        for choice in order:
            kept = _largest([*kept, choice])
            if self._reaches(kept):
                return self._needed(kept)
        return None

    def _found(self, kept: frozenset[Choice], *, is_reached: bool) -> Found:
        return Found(
            is_reached=is_reached,
            kept=tuple(sorted(kept, key=lambda each: each.layer)),
            without={choice: self._without(kept - {choice}) for choice in kept} if is_reached else {},
            after=FloorValues(search=self._trial(kept).value, held_out=self._held_out(kept)),
            held_out_decided=self._with_held_out,
            trials=len(self._trials),
        )

    def _without(self, others: frozenset[Choice]) -> Without:
        value = self._trial(others).value
        if value >= self._floor and self._with_held_out:
            return Without(value=self._held_out(others), is_held_out=True)
        return Without(value=value, is_held_out=False)


def _largest(choices: Iterable[Choice]) -> frozenset[Choice]:
    """Return one choice for each layer: that with the highest precision."""
    best: dict[str, Choice] = {}
    for choice in choices:
        if choice.layer not in best or choice.bytes > best[choice.layer].bytes:
            best[choice.layer] = choice
    return frozenset(best.values())


def _bytes(choices: Iterable[Choice]) -> int:
    return sum(choice.bytes for choice in choices)
