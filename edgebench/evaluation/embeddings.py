"""Vectors of texts for retrieval: which output they are, how they were pooled, and whether that is the model's own way.

A folder of sentence-transformers says how its vectors are made. A file that answers states is averaged over the tokens
here, which is right only where the folder says the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from edgebench.artifact import Artifact
from edgebench.errors import ConfigError
from edgebench.evaluation.outputs import Outputs, refuse_quantised
from edgebench.export import VECTOR, SentenceModules, sentence_modules_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STATES = "last_hidden_state"
_MEAN = "mean over all tokens of the last layer"


def output_of_vectors(artifact: Artifact, names: Collection[str]) -> str:
    """Return the name of the output that vectors are made of: states, or the vectors of a file that pools by itself.

    Raises:
        ConfigError: it does not answer them.
    """
    name = VECTOR if artifact.pooling is not None else STATES
    if name not in names:
        raise ConfigError(f"{artifact.model_path}: has no {name} (it answers {', '.join(names)})")
    return name


def pooling_of(artifact: Artifact) -> str:
    """Return how a file's vectors are made, for the protocol of a score."""
    return f"in the file: {artifact.pooling}" if artifact.pooling is not None else _MEAN


def check_pooling(artifact: Artifact) -> None:
    """Refuse an artifact whose vectors would not be those of its own checkpoint.

    Raises:
        ConfigError: it answers states, and its folder makes vectors in another way than by their mean; or vectors are
            not compared by cosine.
        CheckpointError: its folder has modules that are not known.
    """
    modules = sentence_modules_of(artifact.tokenizer)
    if modules is None:
        return
    if artifact.pooling is None and not modules.is_mean:
        raise ConfigError(
            f"{artifact.model_path} answers states, and its checkpoint in {artifact.tokenizer} makes vectors of them"
            f" by: {modules.description}; their mean would be another model",
            hint="try `model` with the checkpoint's folder, or: edgebench export --sentence-embedding --out DIR",
        )
    if not modules.ranks_as_cosine:
        raise ConfigError(
            f"{artifact.tokenizer}: its vectors are compared by {modules.similarity} (similarity_fn_name), and rankings"
            " here are by cosine"
        )


def prefix_of(artifact: Artifact, prefix: str) -> str:
    """Return what to put before each text: the given prefix, else the checkpoint's default prompt.

    Raises:
        ConfigError: the pooling leaves out the tokens of a prompt, which neither an exported file nor the mean of its
            states does.
    """
    modules: SentenceModules | None = sentence_modules_of(artifact.tokenizer)
    if modules is None:
        return prefix
    chosen = prefix or modules.prompt
    if chosen and not modules.include_prompt:
        raise ConfigError(
            f"{artifact.tokenizer}: its Pooling leaves out the tokens of a prompt (include_prompt is false), which is"
            f" not done here; texts can't begin with {chosen!r}"
        )
    return chosen


def vectors_in(batches: Sequence[Outputs], artifact: Artifact, *, source: str) -> NDArray[np.float32]:
    """Return the vectors in a run's outputs, whose states were averaged on the board; shape (texts, dimensions).

    Raises:
        ConfigError: there are none.
        AgentError: they are quantised integers.
    """
    import numpy as np

    name = output_of_vectors(artifact, batches[0].keys())
    refuse_quantised(batches, [name], source=source)
    return np.concatenate([batch[name] for batch in batches]).astype(np.float32)
