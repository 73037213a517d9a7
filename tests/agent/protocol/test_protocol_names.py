"""Users of the protocol find every name in `edgebench_agent.protocol`, and load only the modules that they use."""

from __future__ import annotations

import pytest

from edgebench_agent import protocol
from edgebench_agent.protocol import public


def test_every_public_name_is_found_in_the_package() -> None:
    names = [name for name in vars(public) if not name.startswith("_")]
    assert {"RunSpec", "Hello", "LeaseRequest", "InstallSpec", "MAX_INT", "decode_message"} <= set(names)
    for name in names:
        assert getattr(protocol, name) is getattr(public, name)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Typo"):
        protocol.Typo  # type: ignore[attr-defined]  # noqa: B018
