"""Padding: to how many tokens inputs are padded, and which parts of an output belong to tokens of the inputs."""

from typing import Any, List, Sequence


def padded_length(longest: int, taken: Sequence[int]) -> int:
    """Return to how many tokens a batch is padded.

    Args:
        longest: its longest sequence, in tokens.
        taken: lengths that the model takes, ascending; empty: any.
    """
    return next((length for length in taken if length >= longest), longest)


def parts_without_padding(output: Any, lengths: Sequence[int], tokens: int) -> List[Any]:
    """Return the parts of an output that belong to tokens of the inputs.

    An output has a value for each token if its first axis is the batch's sequences and its second axis the tokens that
    they are padded to, whatever its name. Any other output has no padding.

    Args:
        output: an array; its first axis has no filling rows.
        lengths: of the batch's sequences, in tokens.
        tokens: that they are padded to.
    """
    if output.ndim > 1 and output.shape[1] == tokens and len(output) == len(lengths):
        return [row[:length] for row, length in zip(output, lengths)]
    return [output]
