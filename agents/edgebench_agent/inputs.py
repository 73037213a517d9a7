"""From a run's inputs to the arrays that a model takes, batch by batch."""

from itertools import accumulate
from typing import Any, Callable, Dict, List, Sequence

from .failure import Failure
from .protocol import RunSpec
from .runtimes import Tensor

_DTYPES = ("int64", "int32")


def _position_ids(ids: Any, mask: Any, pad: int) -> Any:
    """XLM-R counts real tokens from the padding's id + 1 on; padding keeps its id."""
    return mask.cumsum(axis=1) * mask + pad


#: What we can make, by the model's name for it: from ids and mask, both int64 of shape (rows, tokens), and the pad id.
_MAKERS: Dict[str, Callable[[Any, Any, int], Any]] = {
    "input_ids": lambda ids, mask, pad: ids,
    "attention_mask": lambda ids, mask, pad: mask,
    "token_type_ids": lambda ids, mask, pad: ids * 0,
    "position_ids": _position_ids,
}


class Batches:
    """The inputs in consecutive batches; the last one may be short. `sizes`: inputs in each."""

    def __init__(self, spec: RunSpec, path: str, tensors: Sequence[Tensor]) -> None:
        """Check what the model wants and read the ids; a model without inputs needs none.

        Raises:
            Failure: inputs_rejected: the model wants what we can't make; corrupt: there are more or fewer ids.
        """
        self._spec = spec
        self._tensors = list(tensors)
        self._rows = _fixed_size(tensors, 0)
        self._tokens = _fixed_size(tensors, 1)
        self.sizes = [len(spec.lengths[at : at + spec.batch]) for at in range(0, len(spec.lengths), spec.batch)]
        self._check()
        self._starts = [0, *accumulate(spec.lengths)]
        self._ids: Any = _read_ids(path, self._starts[-1]) if tensors else ()

    def __len__(self) -> int:
        return len(self.sizes)

    def padded_tokens(self, index: int) -> int:
        """Return to how many tokens the inputs of a batch are padded."""
        at = index * self._spec.batch
        return max([self._tokens, *self._spec.lengths[at : at + self.sizes[index]]])

    def arrays(self, index: int) -> Dict[str, Any]:
        """Return the arrays of a batch by input name, each of shape (rows, tokens after padding).

        A model of fixed batch size gets the last input again until it is full; such rows are no inputs.
        """
        if not self._tensors:
            return {}
        import numpy as np

        first = index * self._spec.batch
        last = first + self.sizes[index] - 1
        rows = max(self.sizes[index], self._rows)
        ids = np.full((rows, self.padded_tokens(index)), self._spec.pad_token_id, np.int64)
        mask = np.zeros_like(ids)
        for row in range(rows):
            position = min(first + row, last)
            length = self._spec.lengths[position]
            ids[row, :length] = self._ids[self._starts[position] : self._starts[position] + length]
            mask[row, :length] = 1
        return {
            tensor.name: np.ascontiguousarray(_MAKERS[tensor.name](ids, mask, self._spec.pad_token_id), tensor.dtype)
            for tensor in self._tensors
        }

    def _check(self) -> None:
        unknown = [tensor.name for tensor in self._tensors if tensor.name not in _MAKERS]
        if unknown:
            raise Failure(
                "inputs_rejected",
                f"the model wants {', '.join(unknown)}, this agent makes {', '.join(_MAKERS)}",
            )
        odd = [f"{tensor.name} as {tensor.dtype}" for tensor in self._tensors if tensor.dtype not in _DTYPES]
        if odd:
            raise Failure("inputs_rejected", f"the model wants {', '.join(odd)}; this agent makes {', '.join(_DTYPES)}")
        longest = max(self._spec.lengths, default=0)
        if self._tokens and longest > self._tokens:
            raise Failure("inputs_rejected", f"the model takes {self._tokens} tokens and an input has {longest}")
        if self._rows and self._spec.batch > self._rows:
            raise Failure("inputs_rejected", f"the model takes batches of {self._rows}, not {self._spec.batch}")


def _fixed_size(tensors: Sequence[Tensor], axis: int) -> int:
    """Return the size that the model fixes along an axis, or 0 where it is free."""
    sizes: List[int] = [tensor.shape[axis] or 0 for tensor in tensors if len(tensor.shape) > axis]
    return max(sizes, default=0)


def _read_ids(path: str, count: int) -> Any:
    import numpy as np

    ids = np.fromfile(path, "<i4")
    if len(ids) != count:
        raise Failure("corrupt", f"the inputs hold {len(ids)} token ids, their lengths add up to {count}")
    return ids
