"""The host's requests about the board's lease, and about its clocks and power mode."""

from dataclasses import asdict, dataclass
from typing import Optional

from .checks import (
    checked,
    decode_object,
    from_mapping,
    is_empty_or,
    is_identifier,
    is_integer,
    is_none_or,
    is_one_of,
    is_text,
)
from .wire import encode_object


@dataclass(frozen=True)
class LeaseRequest:
    """A request about the board's lease, on the standard input of `lease`.

    `ticket` stands for one session that wants the board. `who` (the owner), `purpose`, and the `reason` of a `force`
    are for people. `token`: of the lease that was granted.
    """

    do: str = checked(is_one_of("acquire", "leave", "renew", "release", "force", "show"))
    ticket: str = checked(is_empty_or(is_identifier), default="")
    who: str = checked(is_text(200), default="")
    purpose: str = checked(is_text(400), default="")
    reason: str = checked(is_text(400), default="")
    token: int = checked(is_integer(), default=0)
    ttl_ns: int = checked(is_integer(1_000_000_000, 86_400_000_000_000), default=120_000_000_000)

    def to_json(self) -> bytes:
        """Return the request as one line."""
        return encode_object(asdict(self))

    @staticmethod
    def from_json(line: bytes) -> "LeaseRequest":
        """Return the checked request.

        Raises:
            ProtocolError: a field is missing or out of bounds.
        """
        request: LeaseRequest = from_mapping(LeaseRequest, decode_object(line), "the lease request")
        return request


@dataclass(frozen=True)
class PowerRequest:
    """A request about the board's clocks and power mode, on the standard input of `power`.

    show: report the settings and what may be set; set: a governor (empty: the original one) and the number of a power
    mode (None: the original one); restore: the original settings. `token`: of the board's
    lease, which `set` and `restore` need.
    """

    do: str = checked(is_one_of("show", "set", "restore"))
    token: int = checked(is_integer(), default=0)
    governor: str = checked(is_empty_or(is_identifier), default="")
    power_mode: Optional[int] = checked(is_none_or(is_integer(0, 999_999)), default=None)

    def to_json(self) -> bytes:
        """Return the request as one line."""
        return encode_object(asdict(self))

    @staticmethod
    def from_json(line: bytes) -> "PowerRequest":
        """Return the checked request.

        Raises:
            ProtocolError: a field is missing or out of bounds.
        """
        request: PowerRequest = from_mapping(PowerRequest, decode_object(line), "the power request")
        return request
