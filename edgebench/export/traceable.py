"""Traceable: a model of transformers with the inputs that exported files have, for every family and head.

The class of a head runs as it is. Only what reaches its encoder is replaced: mask, positions and token types, made of
the two inputs without booleans and without buffers of the model, so that no shape depends on data.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from edgebench.export.geometry import Geometry
from edgebench.export.heads import Head

if TYPE_CHECKING:
    import torch


def traceable(
    model: Any,
    geometry: Geometry,
    head: Head,
    *,
    masked: float,
    fixed_length: bool,
    sentence: torch.nn.Module | None = None,
) -> torch.nn.Module:
    """Return a module of (input_ids, attention_mask) that answers a table of the head's outputs.

    Args:
        model: of the head's class; its forward is hooked.
        masked: what is added to the attention scores of a masked position.
        sentence: of (states, mask): the modules after the encoder, which make the one output.
        fixed_length: for TFLite: positions count the tokens of the mask, and the mask has all four dimensions.
    """
    import torch

    family = geometry.family

    def mask_of(mask: torch.Tensor) -> torch.Tensor:
        floats = mask.to(torch.float32)
        if not family.mask_is_added:
            return floats
        hidden = ((1.0 - floats) * masked)[:, None, None, :]
        return hidden.expand(mask.shape[0], 1, mask.shape[1], mask.shape[1]) if fixed_length else hidden

    def positions_of(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor | None:
        if not family.positions_after_padding:
            return torch.arange(ids.shape[1], dtype=ids.dtype, device=ids.device)[None]
        if not fixed_length:
            return None  # the encoder counts the tokens that are not padding
        return torch.cumsum(mask, dim=1).to(torch.int32) * mask + geometry.pad_token_id

    def token_types_of(ids: torch.Tensor) -> torch.Tensor:
        if geometry.separator is not None:
            is_separator = (ids == geometry.separator).to(ids.dtype)
            before = torch.cumsum(is_separator, dim=1).to(ids.dtype) - is_separator
            return torch.clamp(before, max=1)
        return torch.zeros_like(ids) if fixed_length else torch.zeros((1, 1), dtype=torch.int64, device=ids.device)

    def replace_arguments(encoder: Any, positional: Any, named: Any) -> tuple[tuple[()], dict[str, Any]]:
        bound = signature.bind(*positional, **named)
        arguments: dict[str, Any] = dict(bound.arguments)
        arguments |= arguments.pop("kwargs", {})
        ids, mask = arguments["input_ids"], arguments["attention_mask"]
        made = {"position_ids": positions_of(ids, mask), "token_type_ids": token_types_of(ids)}
        arguments |= {name: value for name, value in made.items() if name in signature.parameters}
        return (), arguments | {"attention_mask": mask_of(mask)}

    encoder = getattr(model, family.encoder) if hasattr(model, family.encoder) else model
    signature = inspect.signature(encoder.forward)
    encoder.register_forward_pre_hook(replace_arguments, with_kwargs=True)

    class Traceable(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.sentence = sentence

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
            answers = self.model(input_ids=input_ids, attention_mask=attention_mask)
            if self.sentence is not None:
                return {head.outputs[0].name: self.sentence(answers["last_hidden_state"], attention_mask)}
            return {output.name: answers[output.name] for output in head.outputs}

    return Traceable().eval()
