"""Floor measure: the figure that a quality floor is held against, over the search's inputs and those held out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgebench.export.checkpoint import Checkpoint
from edgebench.export.figures import compare_output, meaning_of, spread_error
from edgebench.export.floor_search import Trial
from edgebench.export.floors import FLOORS, RANDOM, Floor
from edgebench.export.heads import Meaning, Output
from edgebench.export.onnx_answers import each_alone, open_session
from edgebench.export.parity import Ids, Outputs, sampled
from edgebench.quality import FloorValues

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 2  # inputs in turn for the search and held out: two that follow each other may share a text
_TIMED_PAIRS, _TIMED_TOKENS = 40, 64
_LONGEST_TIMED_S = 0.1


class Examples:
    """Inputs with torch's answers: those that the search uses, and those held out."""

    def __init__(self, checkpoint: Checkpoint, inputs: Sequence[Ids], expected: Sequence[Outputs]) -> None:
        """Take the inputs of the parity check, in order, and torch's outputs."""
        self.checkpoint, self.inputs, self.expected = checkpoint, inputs, expected
        self._meanings: list[tuple[Output, Meaning]] = []
        for output in checkpoint.head.outputs:
            values = [answer[output.name] for answer in expected]
            meaning = meaning_of(output, checkpoint.head.task, values, problem_type=checkpoint.problem_type)
            self._meanings.append((output, meaning))

    @property
    def held_out(self) -> list[int]:
        """Positions of the inputs that the search does not use. The last input repeats the others: it is in neither."""
        last = len(self.inputs) - 1
        if self.checkpoint.head.has_choices:  # an example's other sequences are the inputs that follow it
            return list(range(last // 2, last))
        return [at for at in range(last) if at // _BLOCK % 2]

    @property
    def searched(self) -> list[int]:
        """Positions of the inputs that the search uses."""
        return sorted({*range(len(self.inputs) - 1)} - {*self.held_out})

    @property
    def measure_name(self) -> str:
        """What the figure is: that by which parity is judged first, for this head."""
        floor = self._floor(self._meanings[0][1])
        return f"1 - {floor.measure}" if floor.smaller_is_better else floor.measure

    def ids(self) -> NDArray[np.int64]:
        """Return all token ids of the inputs, ascending."""
        import numpy as np

        return np.unique(np.concatenate([ids.ravel() for ids in self.inputs]))

    def measure(self, path: Path) -> Trial:
        """Return what an ONNX file gives for the search's inputs.

        Raises:
            ExportError: ONNX Runtime can't load or run it.
        """
        pairs = self._pairs(path, self.searched)
        return Trial(value=self._value(pairs), error=self._error(pairs))

    def measure_held_out(self, path: Path) -> float:
        """Return the figure of an ONNX file for the inputs held out.

        Raises:
            ExportError: ONNX Runtime can't load or run it.
        """
        return self._value(self._pairs(path, self.held_out))

    def measure_both(self, path: Path) -> FloorValues:
        """Return the figures of an ONNX file for both lists of inputs.

        Raises:
            ExportError: ONNX Runtime can't load or run it.
        """
        return FloorValues(search=self.measure(path).value, held_out=self.measure_held_out(path))

    def _pairs(self, path: Path, some: Sequence[int]) -> list[tuple[Outputs, Outputs]]:
        """Return torch's and an ONNX file's outputs for some inputs."""
        answers = map(sampled, each_alone(open_session(path), (self.inputs[at] for at in some)))
        return [(self.expected[at], answer) for at, answer in zip(some, answers, strict=True)]

    def _floor(self, meaning: Meaning) -> Floor:
        return RANDOM if self.checkpoint.folder is None else FLOORS[meaning][0]

    def _value(self, pairs: Sequence[tuple[Outputs, Outputs]]) -> float:
        """Return the figure of the worst output; 1 is perfect."""
        values = []
        for output, meaning in self._meanings:
            floor = self._floor(meaning)
            ours, theirs = ([answer[output.name] for answer in answers] for answers in zip(*pairs, strict=True))
            found = getattr(compare_output(ours, theirs, output, meaning), floor.figure)
            if found is not None:  # else all of torch's values are the same: nothing to rank
                values.append(1 - found if floor.smaller_is_better else found)
        return float(min(values, default=1.0))

    def _error(self, pairs: Sequence[tuple[Outputs, Outputs]]) -> float:
        """Return the error of all outputs: unlike a share of decisions, it shows each layer's part."""
        return sum(
            spread_error([(ours[output.name], theirs[output.name]) for ours, theirs in pairs], meaning)
            for output, meaning in self._meanings
        )

    def p50_ratio(self, path: Path, before: Path) -> float | None:
        """Return the ratio of median times of an inference, in turn in one thread; None: one takes too long.

        It is the processor time of the thread, which other programs on the machine change little.
        """
        import numpy as np

        ids = np.resize(np.concatenate([ids.ravel() for ids in self.inputs]), _TIMED_TOKENS)[None]
        if self.checkpoint.head.has_choices:
            ids = ids.reshape(1, 2, -1)
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        sessions = [open_session(each, threads=1) for each in (path, before)]
        times: list[list[int]] = [[], []]
        for pair in range(_TIMED_PAIRS):
            for which in (0, 1) if pair % 2 else (1, 0):
                start = time.thread_time_ns()
                sessions[which].run(None, given)
                times[which].append(time.thread_time_ns() - start)
            if min(map(min, times)) > _LONGEST_TIMED_S * 1e9:
                return None
        after, first = (float(np.median(each[2:])) for each in times)  # the first ones allocate
        return after / first
