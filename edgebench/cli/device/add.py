"""edgebench device add: write a board into edgebench.toml, with its host key pinned."""

from __future__ import annotations

import dataclasses
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup
from cloup import option, option_group

from edgebench.cli.options import verbosity_options
from edgebench.errors import AuthenticationError, ConfigError, HostKeyError, PasswordRefused, UsageError
from edgebench.reading import read_text

if TYPE_CHECKING:
    from edgebench.device import Device

#: As `ssh` does.
PASSWORD_ATTEMPTS = 3
DEFAULT_PUBLIC_KEY = "~/.ssh/id_ed25519.pub"


@cloup.command("add")
@click.argument("name")
@option_group(
    "The board",
    option("--host", required=True, metavar="[USER@]HOST[:PORT]", help="Its address; IPv6 as [::1]:22."),
    option("--profile", metavar="P", help="Kind of board. [default: NAME if a profile has it, else generic-linux]"),
    option("--user", help="User to log in as."),
    option("--port", type=int, help="Port of its SSH server."),
    option("--python", metavar="PATH", help="Python on the board that has numpy and a runtime. [default: python3]"),
)
@option_group(
    "Keys",
    option("--identity-file", metavar="FILE", help="Private key to log in with."),
    option("--host-key", metavar="'TYPE BASE64'", help="Pin this host key without a question, for CI."),
    option("--copy-id", is_flag=True, help="Ask for the password once and install your public key on the board."),
    option("--public-key", metavar="FILE", help=f"Key that --copy-id installs. [default: {DEFAULT_PUBLIC_KEY}]"),
    option("--password-stdin", is_flag=True, help="With --copy-id: read the password from standard input."),
)
@option_group(
    "Output",
    option("--user-config", is_flag=True, help="Write to the user's settings, not the project's edgebench.toml."),
    option("--replace", is_flag=True, help="Replace an entry of this name."),
    verbosity_options,
)
def command(
    name: str,
    host: str,
    profile: str | None,
    user: str | None,
    port: int | None,
    identity_file: str | None,
    python: str | None,
    host_key: str | None,
    copy_id: bool,
    public_key: str | None,
    password_stdin: bool,
    user_config: bool,
    replace: bool,
) -> None:
    """Write a board into edgebench.toml, with its host key pinned.

    \b
    Example:
      edgebench device add pi4 --host pi@10.0.0.4 --copy-id
    """
    from edgebench.board import write_device
    from edgebench.device import config_paths, device_from_table, parse_address, read_devices

    address_user, address, address_port = parse_address(host)
    settings = {
        "profile": profile,
        "host": address,
        "user": _one_of("user", address_user, user),
        "port": _one_of("port", address_port, port),
        "identity_file": identity_file,
        "python": python,
        "host_key": _normal_key(host_key) if host_key is not None else None,
    }
    path = config_paths()[1 if user_config else 0]
    # Errors in the request are reported before the board is contacted and the password is prompted for.
    device = device_from_table(name, {key: value for key, value in settings.items() if value is not None}, path=path)
    if path.exists() and name in read_devices(path) and not replace:
        raise ConfigError(f"device {name!r} is already in {path}; try --replace, or another name")
    key_to_install = _public_key(public_key, identity_file) if copy_id else None
    if settings["host_key"] is None:
        settings["host_key"] = _confirmed_key(device)
    if key_to_install is not None:
        _install_key(
            dataclasses.replace(device, host_key=settings["host_key"]), key_to_install, from_stdin=password_stdin
        )
    write_device(path, name, settings, replace=replace)
    click.echo(f"{name} is in {path}; next: edgebench device setup {name}")


def _one_of(what: str, in_address: Any, as_option: Any) -> Any:
    """Return a value that is set either in the address or by an option.

    Raises:
        UsageError: both are set and differ.
    """
    if in_address is not None and as_option is not None and in_address != as_option:
        raise UsageError(f"--host says {what} {in_address}, --{what} says {as_option}; leave one out")
    return as_option if in_address is None else in_address


def _normal_key(text: str) -> str:
    """Return `TYPE BASE64` of a host key as `ssh-keyscan`, known_hosts or a .pub file writes it.

    Raises:
        ConfigError: there is no key in the text.
    """
    from edgebench.board.transport import HostKey

    words = text.split()
    for kind, blob in pairwise(words):
        key = HostKey.parse(f"{kind} {blob}")
        if key is not None:
            return str(key)
    raise ConfigError(f"--host-key must look like 'ssh-ed25519 AAAA...', got {text[:60]!r}")


def _confirmed_key(device: Device) -> str | None:
    """Return the board's host key to pin, after checking it against known_hosts or by confirmation at the terminal.

    None: an authority of known_hosts certifies it, and will certify the board's next key as well.
    """
    from edgebench.board.transport.ssh import show_host_key

    assert device.host is not None  # noqa: S101 - a board of edgebench.toml has one
    found = show_host_key(device.host, device.user, device.port)
    text = str(found.key)
    shown = f"{device.name}: {device.address} shows the host key {found.key.kind} {found.key.fingerprint}"
    if found.distrust is None:
        by = "an authority of known_hosts certifies" if found.is_certified else "known_hosts says"
        click.echo(f"{shown}, as {by}", err=True)
        return None if found.is_certified else text
    if found.is_changed:
        raise HostKeyError(
            f"{shown}, but known_hosts has another; if the board was set up anew, remove the old one with ssh-keygen -R"
        )
    if found.is_revoked:
        raise HostKeyError(found.distrust)
    compare = "compare it with what the board says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise HostKeyError(f"{shown}, which nobody has confirmed; {compare}; then pass --host-key '{text}'")
    click.echo(f"{shown}; {compare}", err=True)
    if not click.confirm("Is it the same, and should only this key be accepted from now on?", err=True):
        raise HostKeyError(f"{device.name}: the host key was not confirmed; nothing was written")
    return text


def _public_key(path_option: str | None, identity_file: str | None) -> str:
    """Return the line of the public key to install.

    Raises:
        ConfigError: there is no such file, or it is not a public key.
    """
    path = Path(path_option or (f"{identity_file}.pub" if identity_file else DEFAULT_PUBLIC_KEY)).expanduser()
    private = str(path).removesuffix(".pub")
    try:
        text = read_text(path).strip()
    except FileNotFoundError as error:
        raise ConfigError(
            f"no public key at {path}; try: ssh-keygen -t ed25519 -f {private} (or --public-key FILE)"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read {path}: {error}") from error
    if not re.fullmatch(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}( [^\n]*)?", text):
        raise ConfigError(f"{path} is not a public key (one line, 'ssh-ed25519 AAAA... comment')")
    return text


def _install_key(device: Device, public_key: str, *, from_stdin: bool) -> None:
    """Prompt for the password and install the public key on the board; a mistyped password is asked for again."""
    from edgebench.board.transport.ssh import install_public_key

    if not from_stdin and not sys.stdin.isatty():
        raise UsageError("--copy-id asks for a password, and there is no terminal; try: --password-stdin")
    for left in reversed(range(1 if from_stdin else PASSWORD_ATTEMPTS)):
        if from_stdin:
            password = sys.stdin.readline().rstrip("\r\n")
        else:
            password = click.prompt(f"Password of {device.address}", hide_input=True, err=True)
        try:
            new = install_public_key(device, public_key, password)
        except PasswordRefused as error:
            if left:
                click.echo(f"{error}", err=True)
                continue
            if device.host_key is None:
                raise
            raise AuthenticationError(
                str(error), hint=f"next time without the question about its key: --host-key '{device.host_key}'"
            ) from error
        click.echo(f"{device.name}: the key {'is installed' if new else 'was there already'}", err=True)
        return
