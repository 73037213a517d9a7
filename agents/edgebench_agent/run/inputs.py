"""Make the arrays that a model takes from a run's inputs, batch by batch."""

from itertools import accumulate
from typing import Any, Callable, Dict, List, Sequence

from ..protocol.failure import Failure
from ..protocol.input_names import plain_input_name
from ..protocol.padding import padded_length
from ..protocol.run_spec import RunSpec
from ..runtimes.interface import Tensor

#: numpy's names for the types in which inputs can be made.
_DTYPES = (
    *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8"),
    *("float64", "float32", "float16", "bool"),
)


def _position_ids(ids: Any, mask: Any, spec: RunSpec) -> Any:
    """Number tokens from the specification's first position on; without one as XLM-R does.

    XLM-R numbers the real tokens from pad id + 1 on, and padding gets the pad id. BERT numbers all of them from 0 on.
    """
    if spec.first_position is None:
        return mask.cumsum(axis=1) * mask + spec.pad_token_id
    return (mask * 0 + 1).cumsum(axis=1) - 1 + spec.first_position


def _token_types(ids: Any, mask: Any, spec: RunSpec) -> Any:
    """Return 1 for the tokens after the first separator, as BERT marks the second text of a pair; else 0."""
    if spec.separator is None:
        return ids * 0
    ends = (ids == spec.separator) * mask
    return ((ends.cumsum(axis=1) - ends) > 0) * mask


#: The inputs that can be made, by name, from ids and mask (int64, shape (rows, tokens)) and the specification.
_MAKERS: Dict[str, Callable[[Any, Any, RunSpec], Any]] = {
    "input_ids": lambda ids, mask, spec: ids,
    "attention_mask": lambda ids, mask, spec: mask,
    "token_type_ids": _token_types,
    "position_ids": _position_ids,
}


class Batches:
    """A run's inputs in consecutive batches; the last one may be smaller. `sizes`: examples in each."""

    def __init__(self, spec: RunSpec, path: str, tensors: Sequence[Tensor], buckets: Sequence[int] = ()) -> None:
        """Check the model's inputs and read the ids; a model without inputs needs no ids.

        `buckets`: the input lengths that the model accepts, in tokens, ascending; empty: those of the shapes of
        `tensors`.

        Raises:
            Failure: inputs_rejected: the model has an input that can't be made; corrupt: the number of ids is wrong.
        """
        self._spec = spec
        self._tensors = list(tensors)
        self._kinds = {tensor.name: plain_input_name(tensor.name) for tensor in tensors}
        self._has_choices = any(len(tensor.shape) > 2 for tensor in tensors if self._kinds[tensor.name] == "input_ids")
        self._rows = _fixed_size(tensors, 0)
        self._tokens = _fixed_size(tensors, -1)
        self._buckets = list(buckets)
        examples = len(spec.lengths) // spec.choices
        self.sizes = [min(spec.batch, examples - at) for at in range(0, examples, spec.batch)]
        self._check()
        self._starts = [0, *accumulate(spec.lengths)]
        self._ids: Any = _read_ids(path, self._starts[-1]) if tensors else ()
        self._check_types()

    def __len__(self) -> int:
        return len(self.sizes)

    def lengths(self, index: int) -> List[int]:
        """Return the length of each sequence of a batch in tokens, without padding."""
        at = index * self._spec.batch * self._spec.choices
        return self._spec.lengths[at : at + self.sizes[index] * self._spec.choices]

    def shapes(self) -> List[int]:
        """Return one batch of each distinct shape, by ascending number of tokens."""
        found = {(self.sizes[index], self.padded_tokens(index)): index for index in range(len(self))}
        return sorted(found.values(), key=self.padded_tokens)

    def padded_tokens(self, index: int) -> int:
        """Return to how many tokens the sequences of a batch are padded."""
        return padded_length(max([self._tokens, *self.lengths(index)]), self._buckets)

    def arrays(self, index: int) -> Dict[str, Any]:
        """Return the arrays of a batch by input name, each of shape (rows, tokens after padding), or with choices
        (rows, choices, tokens).

        For a model of fixed batch size, the last example is repeated until the batch is full; such rows are not inputs.
        """
        if not self._tensors:
            return {}
        import numpy as np

        choices = self._spec.choices
        first = index * self._spec.batch
        last = first + self.sizes[index] - 1
        rows = max(self.sizes[index], self._rows)
        ids = np.full((rows * choices, self.padded_tokens(index)), self._spec.pad_token_id, np.int64)
        mask = np.zeros_like(ids)
        for row in range(rows * choices):
            position = min(first + row // choices, last) * choices + row % choices
            length = self._spec.lengths[position]
            ids[row, :length] = self._ids[self._starts[position] : self._starts[position] + length]
            mask[row, :length] = 1
        shape = (rows, choices, -1) if self._has_choices else (rows, -1)
        made = {name: _MAKERS[kind](ids, mask, self._spec).reshape(shape) for name, kind in self._kinds.items()}
        return {tensor.name: np.ascontiguousarray(made[tensor.name], tensor.dtype) for tensor in self._tensors}

    def _check(self) -> None:
        unknown = [name for name, kind in self._kinds.items() if kind not in _MAKERS]
        if unknown:
            raise Failure(
                "inputs_rejected",
                f"the model wants {', '.join(unknown)}, this agent makes {', '.join(_MAKERS)}",
            )
        kinds = list(self._kinds.values())
        if len(set(kinds)) < len(kinds):
            twice = ", ".join(self._kinds)
            raise Failure("inputs_rejected", f"the model takes one input twice (it takes {twice}), this agent once")
        self._check_shapes()
        self._check_lengths()
        if self._rows and self._spec.batch > self._rows:
            raise Failure("inputs_rejected", f"the model takes batches of {self._rows}, not {self._spec.batch}")
        fixed = _fixed_size(self._tensors, 1) if self._has_choices else 1
        if self._tensors and fixed and fixed != self._spec.choices:
            raise Failure("inputs_rejected", f"the model takes {fixed} sequences an example, not {self._spec.choices}")

    def _check_shapes(self) -> None:
        rank = 3 if self._has_choices else 2
        for tensor in self._tensors:
            if len(tensor.shape) not in (0, rank):  # 0: the file does not say
                shape = " x ".join(str(size or "?") for size in tensor.shape)
                raise Failure(
                    "inputs_rejected",
                    f"the model wants {tensor.name} of shape {shape}; this agent makes rows x tokens, or with choices "
                    f"rows x choices x tokens for all inputs",
                )

    def _check_types(self) -> None:
        """Refuse types that the inputs can't be made in, or that do not hold the largest token id."""
        odd = [f"{tensor.name} as {tensor.dtype}" for tensor in self._tensors if tensor.dtype not in _DTYPES]
        if odd:
            raise Failure("inputs_rejected", f"the model wants {', '.join(odd)}; this agent makes {', '.join(_DTYPES)}")
        for tensor in self._tensors:
            largest = max(int(self._ids.max()), self._spec.pad_token_id)
            if self._kinds[tensor.name] == "input_ids" and largest > _largest_exact(tensor.dtype):
                raise Failure(
                    "inputs_rejected", f"the model wants {tensor.name} as {tensor.dtype}, which can't hold id {largest}"
                )

    def _check_lengths(self) -> None:
        most = self._buckets[-1] if self._buckets else self._tokens
        longer = sum(length > most for length in self._spec.lengths)
        if most and longer:
            raise Failure(
                "inputs_rejected",
                f"the model takes {most} tokens; {longer} of {len(self._spec.lengths)} inputs have more"
                f" (the longest: {max(self._spec.lengths)})",
            )


def _largest_exact(dtype: str) -> int:
    """Return up to where a type holds every whole number."""
    import numpy as np

    kind = np.dtype(dtype)
    if kind.kind == "b":
        return 1
    return int(2 ** (np.finfo(kind).nmant + 1)) if kind.kind == "f" else int(np.iinfo(kind).max)


def lengths_taken(tensors: Sequence[Tensor], buckets: Sequence[int]) -> List[int]:
    """Return the lengths in tokens that inputs are padded to; empty: to the longest of their batch."""
    fixed = _fixed_size(tensors, -1)
    return list(buckets) or ([fixed] if fixed else [])


def rows_taken(tensors: Sequence[Tensor]) -> int:
    """Return how many examples the model takes at a time; 0: any number."""
    return _fixed_size(tensors, 0)


def _fixed_size(tensors: Sequence[Tensor], axis: int) -> int:
    """Return the size that the model fixes along an axis; 0: it is free."""
    sizes: List[int] = [tensor.shape[axis] or 0 for tensor in tensors if len(tensor.shape) > max(axis, 0)]
    return max(sizes, default=0)


def _read_ids(path: str, count: int) -> Any:
    import numpy as np

    ids = np.fromfile(path, "<i4")
    if len(ids) != count:
        raise Failure("corrupt", f"the inputs hold {len(ids)} token ids, their lengths add up to {count}")
    return ids
