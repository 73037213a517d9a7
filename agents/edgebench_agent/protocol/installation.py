"""What the host sends when it sets a board up: environments to make, and which Python runs each runtime."""

# ruff: noqa: RUF009 - checked() returns a dataclass field

from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from .checks import (
    checked,
    decode_object,
    from_mapping,
    is_boolean,
    is_file_name,
    is_identifier,
    is_list,
    is_none_or,
    is_sha256,
    is_table,
    is_text,
)


@dataclass(frozen=True)
class WheelFile:
    """A wheel: a blob on the board, and its file name for messages."""

    name: str = checked(is_file_name)
    sha256: str = checked(is_sha256)


@dataclass(frozen=True)
class InstallSpec:
    """An environment to make: the name it gets, and what it is made of.

    `ask`: a dry run, which only reports whether it is there and which wheels are missing. `anew`: make it even if it is
    there, because it is known not to work.
    """

    environment: str = checked(is_sha256)
    wheels: List[Any] = checked(is_list(lambda value: isinstance(value, dict), 64))  # WheelFile objects as tables
    ask: bool = checked(is_boolean, default=False)
    anew: bool = checked(is_boolean, default=False)

    def wheel_files(self) -> List[WheelFile]:
        """Return the wheels."""
        return [from_mapping(WheelFile, entry, "a wheel") for entry in self.wheels]

    @staticmethod
    def from_json(line: bytes) -> "InstallSpec":
        """Return the checked specification; ProtocolError: a field is missing or out of bounds."""
        spec: InstallSpec = from_mapping(InstallSpec, decode_object(line), "the installation")
        spec.wheel_files()
        return spec


@dataclass(frozen=True)
class Adoption:
    """The Python that runs a runtime from now on."""

    runtime: str = checked(is_identifier)
    python: str = checked(is_text(4096))
    environment: Optional[str] = checked(is_none_or(is_sha256))  # None: the board's own Python
    packages: Dict[str, str] = checked(is_table(is_text(256), 64))  # versions by name
    agreement: str = checked(is_text(1024))  # how its outputs compare with the host's, for people
    own: bool = checked(is_boolean, default=False)  # the user's own choice, which a later setup must not change

    @staticmethod
    def from_json(line: bytes) -> "Adoption":
        """Return the checked adoption; ProtocolError: a field is missing or out of bounds."""
        adoption: Adoption = from_mapping(Adoption, decode_object(line), "the adoption")
        return adoption


@dataclass(frozen=True)
class Leftovers:
    """The wheels of a setup that nothing needs any more, by their hash."""

    wheels: List[str] = checked(is_list(is_sha256, 256))

    @staticmethod
    def from_json(line: bytes) -> "Leftovers":
        """Return the checked leftovers; ProtocolError: a field is missing or out of bounds."""
        leftovers: Leftovers = from_mapping(Leftovers, decode_object(line), "the leftovers")
        return leftovers
