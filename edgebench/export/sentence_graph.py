"""Sentence embeddings in torch: the modules after the encoder, for the exported graph and as the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgebench.export.sentence_modules import VECTOR, Dense, SentenceModules
from edgebench.export.weight_files import open_file, reading

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

_ADDED_TO_PADDING = -1e4  # finite in float16; far below any state
_SMALLEST = 1e-6  # largest absolute value of a vector that still has a direction, in float16


def dense_readers(modules: SentenceModules) -> dict[str, Callable[[], torch.Tensor]]:
    """Return the tensors of the dense layers, by the names that the graph has: `sentence.dense_0.weight` ...

    Raises:
        CheckpointError: a file can't be read or has other tensors.
    """
    from edgebench.errors import CheckpointError

    readers = {}
    for position, step in enumerate(modules.steps):
        if step is None:
            continue
        opened = open_file(step.weights).readers
        for name in ("weight", "bias")[: 1 + step.bias]:
            if f"linear.{name}" not in opened:
                raise CheckpointError(f"{step.weights} lacks linear.{name}")
            readers[f"sentence.dense_{position}.{name}"] = opened[f"linear.{name}"]
        if others := sorted(opened.keys() - {f"linear.{name}" for name in ("weight", "bias")[: 1 + step.bias]}):
            raise CheckpointError(
                f"{step.weights} has {', '.join(others[:3])}, which its config.json does not mean: the exported file"
                " would compute something else",
                hint="save the model again with sentence-transformers",
            )
    return readers


def graph_module(modules: SentenceModules) -> torch.nn.Module:
    """Return the modules as the exported graph computes them: forward(states, mask) -> (batch, dimensions).

    Only additions and products on a mask of ones and zeros, padded on the right: no booleans and no indices that
    depend on data, which old TFLite runtimes refuse; no sum that overflows in float16.
    """
    import torch

    class GraphModules(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for position, step in enumerate(modules.steps):
                if step is not None:
                    self.add_module(f"dense_{position}", torch.nn.Linear(step.inputs, step.outputs, bias=step.bias))

        def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            vector = torch.cat([_pool(name, states, mask) for name in modules.pooling], dim=1)
            for position, step in enumerate(modules.steps):
                if step is None:
                    vector = _unit(vector)
                else:
                    vector = _activation(step)(getattr(self, f"dense_{position}")(vector))
            return vector

    return GraphModules().eval()


def _pool(name: str, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    import torch

    kept = mask.to(states.dtype)
    if name == "cls":
        return states[:, 0]
    if name == "max":
        return torch.amax(states + ((1.0 - kept) * _ADDED_TO_PADDING)[:, :, None], dim=1)
    # counted in integers: float16 is exact up to 2048 only
    tokens = mask.sum(dim=1, keepdim=True, dtype=mask.dtype)
    position = torch.cumsum(mask, dim=1).to(mask.dtype)
    count = tokens.to(states.dtype)
    weights = kept / count
    if name == "weightedmean":
        weights = weights * position.to(states.dtype) * (2.0 / (count + 1.0))
    elif name == "lasttoken":
        weights = torch.relu(1.0 - torch.abs((position - tokens).to(states.dtype))) * kept
    elif name == "mean_sqrt_len_tokens":
        weights = kept / torch.sqrt(count)
    return (states * weights[:, :, None]).sum(dim=1)


def _unit(vector: torch.Tensor) -> torch.Tensor:
    import torch

    # divided by its largest value first: the sum of squares of a float16 vector overflows soon
    scaled = vector / torch.clamp(torch.amax(torch.abs(vector), dim=1, keepdim=True), min=_SMALLEST)
    return scaled / torch.sqrt(torch.clamp((scaled * scaled).sum(dim=1, keepdim=True), min=1.0))


def _activation(step: Dense) -> Any:
    import torch

    return getattr(torch.nn, step.activation)()


def reference_model(encoder: torch.nn.Module, modules: SentenceModules) -> torch.nn.Module:
    """Return encoder and modules as sentence-transformers computes them, written apart from the graph.

    Raises:
        CheckpointError: the weights of a dense layer can't be read or have another shape.
    """
    import torch

    layers = [None if step is None else _loaded(step) for step in modules.steps]

    class SentenceModel(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, attention_mask: torch.Tensor, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
            states = self.encoder(attention_mask=attention_mask, **inputs)["last_hidden_state"]
            vectors = []
            for row, tokens in zip(states, attention_mask.sum(dim=1).tolist(), strict=True):
                vector = torch.cat([_pooled(name, row[:tokens]) for name in modules.pooling])
                for layer in layers:
                    vector = torch.nn.functional.normalize(vector, dim=0) if layer is None else layer(vector)
                vectors.append(vector)
            return {VECTOR: torch.stack(vectors)}

    return SentenceModel().eval()


def _pooled(name: str, states: torch.Tensor) -> torch.Tensor:
    """Pool the states of one text without padding, shape (tokens, hidden)."""
    import torch

    if name == "cls":
        return states[0]
    if name == "lasttoken":
        return states[-1]
    if name == "max":
        return states.max(dim=0).values
    if name == "weightedmean":
        weights = torch.arange(1, len(states) + 1, dtype=states.dtype)[:, None]
        return (states * weights).sum(dim=0) / weights.sum()
    total = states.sum(dim=0)
    count = float(len(states))
    return total / (count**0.5 if name == "mean_sqrt_len_tokens" else count)


def _loaded(step: Dense) -> torch.nn.Module:
    import torch

    linear = torch.nn.Linear(step.inputs, step.outputs, bias=step.bias)
    with reading(step.weights):
        opened = open_file(step.weights).readers
        names = ("weight", "bias")[: 1 + step.bias]
        linear.load_state_dict({name: opened[f"linear.{name}"]().float() for name in names})
    return torch.nn.Sequential(linear, _activation(step)).eval()
