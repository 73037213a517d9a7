"""The address of a scheduler, and how the connections to it are encrypted."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edgebench.errors import ConfigError, MissingExtra
from edgebench.text import printable

if TYPE_CHECKING:
    from distributed import Security

#: The executor that measures from this machine, without dask.
LOCAL_EXECUTOR = "local"
_SCHEMES = {"dask": "tcp", "tcp": "tcp", "tls": "tls"}
_FILES = ("tls_ca_file", "tls_cert", "tls_key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """A scheduler of dask that gives the cells of studies to benches.

    Args:
        address: `dask://HOST:PORT` or `tcp://HOST:PORT`; `tls://HOST:PORT` encrypts, and both sides show certificates.
        tls_ca_file, tls_cert, tls_key: PEM files for `tls://`; None: as dask's own settings say
            (`distributed.comm.tls`).

    Raises:
        ConfigError: the address is not of this form, or a file is named without `tls://`.
    """

    address: str
    tls_ca_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None

    def __post_init__(self) -> None:
        self._parts()
        if not self.is_encrypted and any(getattr(self, name) for name in _FILES):
            raise ConfigError(f"certificates are for tls:// addresses, not {self.address}", hint="try tls://HOST:PORT")

    def _parts(self) -> tuple[str, str, int]:
        problem = ConfigError(
            f"{printable(self.address, 200)!r} is no scheduler; expected dask://HOST:PORT or tls://HOST:PORT"
        )
        try:
            found = urlsplit(self.address)
            port = found.port
        except ValueError as error:
            raise problem from error
        extra = found.path.strip("/") or found.query or found.fragment or found.username
        if (
            found.scheme not in _SCHEMES
            or not found.hostname
            or port is None
            or extra
            or not self.address.isprintable()
        ):
            raise problem
        return _SCHEMES[found.scheme], found.hostname, port

    @property
    def is_encrypted(self) -> bool:
        """Whether connections are encrypted and both sides show certificates."""
        return self._parts()[0] == "tls"

    @property
    def host(self) -> str:
        """Its host name or address."""
        return self._parts()[1]

    @property
    def dask_address(self) -> str:
        """The address as dask writes it: tcp://HOST:PORT or tls://HOST:PORT."""
        scheme, host, port = self._parts()
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def security(self) -> Security | None:
        """Return dask's options of encryption; None: there is none.

        Raises:
            ConfigError: a certificate can't be read, or none is named.
            MissingExtra: dask.distributed is not installed.
        """
        if not self.is_encrypted:
            return None
        import_distributed()
        from distributed import Security

        given: dict[str, Any] = {"tls_ca_file": self.tls_ca_file}
        for role in ("client", "worker"):
            given |= {f"tls_{role}_cert": self.tls_cert, f"tls_{role}_key": self.tls_key}
        found = Security(require_encryption=True, **{name: file for name, file in given.items() if file is not None})
        if not found.tls_ca_file or not found.tls_client_cert:
            raise ConfigError(
                f"{self.address} needs certificates",
                hint="name `tls_ca_file`, `tls_cert` and `tls_key`, or set distributed.comm.tls in dask's settings",
            )
        try:
            for role in ("client", "worker"):
                found.get_connection_args(role)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.address}: the certificates can't be used: {error}") from error
        return found


def read_executor(
    text: str, *, tls_ca_file: str | None = None, tls_cert: str | None = None, tls_key: str | None = None
) -> Scheduler | None:
    """Return the scheduler that an executor names; None: `local`, this machine without dask.

    Raises:
        ConfigError: it is neither `local` nor an address.
    """
    if text == LOCAL_EXECUTOR:
        return None
    if "://" not in text:
        raise ConfigError(f"unknown executor {printable(text, 200)!r}; known: local, dask://HOST:PORT, tls://HOST:PORT")
    return Scheduler(address=text, tls_ca_file=tls_ca_file, tls_cert=tls_cert, tls_key=tls_key)


def import_distributed() -> None:
    """Import dask.distributed, and keep its log to itself: what matters is reported in edgebench's own words.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise MissingExtra("dask.distributed", "dask", "a study over benches") from error
    for name in ("distributed", "distributed.worker", "distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    assert distributed is not None  # noqa: S101 - imported for its effect
