"""What tests of field cases share with those of the agent."""

from __future__ import annotations

import pytest

from tests.agent.conftest import make_model


@pytest.fixture(scope="session")
def tiny_model() -> bytes:
    """An ONNX model of XLM-R's inputs: `embedded`, shape (batch, tokens, 4), is 0 where the mask is."""
    return make_model(["input_ids", "attention_mask"])
