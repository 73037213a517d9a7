"""edgebench device: the boards that are known, adding one, setting it up, checking one, cleaning one."""

from __future__ import annotations

import dataclasses
import re
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgebench.cli.numbers import time_span
from edgebench.cli.output import (
    check_json_target,
    console,
    json_option,
    progress_console,
    to_stdout,
    verbosity_options,
    wait_option,
    write_json,
)
from edgebench.errors import ConfigError, HostKeyError, UsageError

if TYPE_CHECKING:
    from edgebench.board.transport.known_hosts import HostKey
    from edgebench.device import Device
    from edgebench.provision.checkup import Checkup
    from edgebench.provision.maintenance import Cleanup, Removal
    from edgebench.provision.setup import Setup

DEFAULT_PUBLIC_KEY = "~/.ssh/id_ed25519.pub"


@click.group("device")
def command() -> None:
    """Boards: list, add, set up, check, release, clean.

    \b
    Example:
      edgebench device add pi4 --host pi@10.0.0.4 --copy-id
    """


# --- list -------------------------------------------------------------------------------------------------------


@command.command("list")
@json_option
@verbosity_options
def list_devices(json_target: str | None) -> None:
    """List the boards of edgebench.toml and the built-in profiles.

    \b
    Example:
      edgebench device list
    """
    from edgebench.device import configured_devices, find_device, load_profile, profile_names

    boards = [find_device("local"), *configured_devices().values()]
    profiles = [load_profile(name) for name in profile_names()]
    write_json(
        json_target,
        {
            "devices": [_device_to_json(board) for board in boards],
            "profiles": [dataclasses.asdict(profile) for profile in profiles],
        },
    )
    if not to_stdout(json_target):
        return
    from edgebench.report.table import add_plain_row, plain_table

    table = plain_table("device", "profile", "address", "python", "host key", "from", title="Boards")
    for board in boards:
        key = "" if board.is_local else "pinned" if board.host_key else "known_hosts"
        add_plain_row(
            table, board.name, board.profile.name, board.address, board.python, key, board.origin or "built in"
        )
    console().print(table)
    console().print()
    table = plain_table("profile", "what it is", "default format", title="Built-in profiles")
    for profile in profiles:
        add_plain_row(table, profile.name, profile.title, str(profile.default_format))
    console().print(table)


def _device_to_json(board: Device) -> dict[str, Any]:
    settings = ("host", "user", "port", "identity_file", "python", "host_key", "origin")
    return {
        "name": board.name,
        "profile": board.profile.name,
        **{name: getattr(board, name) for name in settings},
    }


# --- add --------------------------------------------------------------------------------------------------------


@command.command("add")
@click.argument("name")
@click.option("--host", required=True, metavar="[USER@]HOST[:PORT]", help="Its address; IPv6 as [::1]:22.")
@click.option(
    "--profile", metavar="P", help="What kind of board it is. [default: NAME if a profile, else generic-linux]"
)
@click.option("--user", help="User to log in as.")
@click.option("--port", type=int, help="Port of its SSH server.")
@click.option("--identity-file", metavar="FILE", help="Private key to log in with.")
@click.option("--python", metavar="PATH", help="Python on the board that has numpy and a runtime. [default: python3]")
@click.option("--host-key", metavar="'TYPE BASE64'", help="Pin this host key, without a question: for CI.")
@click.option("--copy-id", is_flag=True, help="Ask for the password once and install your public key on the board.")
@click.option("--public-key", metavar="FILE", help=f"Key that --copy-id installs. [default: {DEFAULT_PUBLIC_KEY}]")
@click.option("--password-stdin", is_flag=True, help="With --copy-id: read the password from standard input.")
@click.option("--user-config", is_flag=True, help="Write to the user's settings, not the project's edgebench.toml.")
@click.option("--replace", is_flag=True, help="Replace an entry of this name.")
@verbosity_options
def add(
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
    from edgebench.board.device_config import add_device
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
    # All that can be wrong with the request is said before the board is contacted or a password asked for.
    device = device_from_table(name, {key: value for key, value in settings.items() if value is not None}, path=path)
    if path.exists() and name in read_devices(path) and not replace:
        raise ConfigError(f"device {name!r} is already in {path}; try: --replace, or another name")
    key_to_install = _public_key(public_key, identity_file) if copy_id else None
    if settings["host_key"] is None:
        settings["host_key"] = _confirmed_key(device)
    if key_to_install is not None:
        _install_key(
            dataclasses.replace(device, host_key=settings["host_key"]), key_to_install, from_stdin=password_stdin
        )
    add_device(path, name, settings, replace=replace)
    click.echo(f"{name} is in {path}; next: edgebench device setup {name}")


def _one_of(what: str, in_address: Any, as_option: Any) -> Any:
    """Return the one that is given of two ways to say it."""
    if in_address is not None and as_option is not None and in_address != as_option:
        raise UsageError(f"--host says {what} {in_address}, --{what} says {as_option}; leave one out")
    return as_option if in_address is None else in_address


def _normal_key(text: str) -> str:
    """Return `TYPE BASE64` of a host key as `ssh-keyscan`, known_hosts or a .pub file writes it.

    Raises:
        ConfigError: there is no key in the text.
    """
    from edgebench.board.transport.known_hosts import HostKey

    words = text.split()
    for kind, blob in pairwise(words):
        key = HostKey.parse(f"{kind} {blob}")
        if key is not None:
            return str(key)
    raise ConfigError(f"--host-key must look like 'ssh-ed25519 AAAA...', got {text[:60]!r}")


def _confirmed_key(device: Device) -> str:
    """Return the board's host key once it is known to be right: from known_hosts, or by a yes at the terminal."""
    from edgebench.board.transport.known_hosts import HostKey
    from edgebench.board.transport.ssh import fetch_host_key

    assert device.host is not None  # noqa: S101 - a board of edgebench.toml has one
    text, fingerprint = fetch_host_key(device.host, device.port)
    shown = f"{device.name}: {device.address} shows the host key {text.split()[0]} {fingerprint}"
    known = _known_keys(device)
    if HostKey.parse(text) in known:
        click.echo(f"{shown}, as known_hosts says", err=True)
        return text
    if any(text.split()[0] == key.kind for key in known):
        raise HostKeyError(
            f"{shown}, but known_hosts has another; if the board was set up anew, remove the old one with ssh-keygen -R"
        )
    compare = "compare it with what the board says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise HostKeyError(f"{shown}, which nobody has confirmed; {compare}; then pass --host-key '{text}'")
    click.echo(f"{shown}; {compare}", err=True)
    if not click.confirm("Is it the same, and should only this key be accepted from now on?", err=True):
        raise HostKeyError(f"{device.name}: the host key was not confirmed; nothing was written")
    return text


def _known_keys(device: Device) -> list[HostKey]:
    """Return the keys that the user's and the system's known_hosts list for a board."""
    from edgebench.board.transport.known_hosts import SSH_PORT, known_keys, lookup_name

    paths = [Path.home() / ".ssh" / "known_hosts", Path("/etc/ssh/ssh_known_hosts")]
    return known_keys(lookup_name(device.host or "", device.port or SSH_PORT), paths).accepted


def _public_key(given: str | None, identity_file: str | None) -> str:
    """Return the line of the public key to install.

    Raises:
        ConfigError: there is none, or the file is something else (a private key, say).
    """
    path = Path(given or (f"{identity_file}.pub" if identity_file else DEFAULT_PUBLIC_KEY)).expanduser()
    private = str(path).removesuffix(".pub")
    try:
        text = path.read_text(encoding="utf-8").strip()
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
    """Ask for the password once and have the board accept the key from now on."""
    from edgebench.board.transport.ssh import install_public_key

    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = click.prompt(f"Password of {device.address}", hide_input=True, err=True)
    else:
        raise UsageError("--copy-id asks for a password, and there is no terminal; try: --password-stdin")
    new = install_public_key(device, public_key, password)
    click.echo(f"{device.name}: the key {'is installed' if new else 'was there already'}", err=True)


# --- setup ------------------------------------------------------------------------------------------------------


@command.command("setup")
@click.argument("name")
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    metavar="R",
    help="onnxruntime, ai-edge-litert or tflite-runtime; repeatable. [default: all that the board can have]",
)
@click.option(
    "--wheel",
    "wheels",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A wheel of your own, such as a GPU build for a Jetson; repeatable.",
)
@click.option("--system-python", is_flag=True, help="Use the runtimes of the board's own Python; install nothing.")
@click.option("--upgrade", is_flag=True, help="Look for newer wheels.")
@click.option(
    "--download",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where wheels are kept here, and found again offline. [default: in edgebench's cache]",
)
@wait_option
@click.option("--remove", is_flag=True, help="Take everything of edgebench off the board again.")
@json_option
@verbosity_options
def setup(
    name: str,
    runtimes: tuple[str, ...],
    wheels: tuple[Path, ...],
    system_python: bool,
    upgrade: bool,
    download: Path | None,
    wait_s: int,
    remove: bool,
    json_target: str | None,
) -> int:
    """Make a bare board ready: install what measures there, without internet, root or pip on the board.

    Each runtime runs a tiny model, whose numbers must be this machine's. What is there already stays. Ends with 0 if
    all works, with 1 if not.

    \b
    Example:
      edgebench device setup pi4
    """
    from edgebench.cli.live import LiveDisplay
    from edgebench.device import find_device
    from edgebench.provision.maintenance import remove_setup
    from edgebench.provision.plan import SetupPlan
    from edgebench.provision.setup import set_up

    check_json_target(json_target)
    if remove:
        if runtimes or wheels or system_python or upgrade or download is not None:
            raise UsageError("--remove takes everything off the board: leave the other options out")
        with LiveDisplay(progress_console()) as display:
            removal = remove_setup(find_device(name), wait_s=wait_s, on_event=partial(display, ""))
        write_json(json_target, removal.to_json())
        if to_stdout(json_target):
            _show_removal(removal)
        return 0

    plan = SetupPlan(
        runtimes=runtimes,
        wheels=wheels,
        system_python=system_python,
        upgrade=upgrade,
        folder=download,
        wait_s=wait_s,
    )
    with LiveDisplay(progress_console()) as display:
        done = set_up(find_device(name), plan, partial(display, ""))
    write_json(json_target, done.to_json())
    if to_stdout(json_target):
        _show_setup(done)
    return 0 if done.is_ready else 1


def _show_setup(done: Setup) -> None:
    from edgebench.report.table import add_plain_row, plain_table

    verdict = "ready" if done.is_ready else "not all that was asked for works"
    table = plain_table("what", "seen", "", "what mends it", title=f"{done.device}: {verdict}")
    for finding in done.findings:
        add_plain_row(table, finding.what, finding.seen, str(finding.state), finding.fix or "")
    console().print(table)


def _show_removal(removal: Removal) -> None:
    parts = [f"{count} {kind} ({size / 1e6:,.1f} MB)" for kind, (count, size) in removal.removed.items()]
    click.echo(f"{removal.device}: removed {', '.join(parts) or 'nothing: there was nothing'}")
    if removal.left:
        click.echo(f"{removal.device}: left, for they are not edgebench's: {', '.join(removal.left)}")


# --- check ------------------------------------------------------------------------------------------------------


@command.command("check")
@click.argument("name")
@json_option
@verbosity_options
def check(name: str, json_target: str | None) -> int:
    """Say whether a measurement can be made on a board, and what would mend what is missing.

    Ends with 0 if one can be made, with 1 if not.

    \b
    Example:
      edgebench device check pi4
    """
    from edgebench.device import find_device
    from edgebench.provision.checkup import check_device
    from edgebench.report.checkup import overhead_findings

    checkup = check_device(find_device(name))
    checkup = dataclasses.replace(checkup, findings=(*checkup.findings, *overhead_findings(checkup)))
    write_json(json_target, checkup.to_json())
    if to_stdout(json_target):
        _show_findings(checkup)
    return 0 if checkup.can_measure else 1


def _show_findings(checkup: Checkup) -> None:
    from edgebench.report.table import add_plain_row, plain_table

    verdict = "a measurement can be made" if checkup.can_measure else "no measurement can be made yet"
    table = plain_table("what", "seen", "", "what mends it", title=f"{checkup.device}: {verdict}")
    for finding in checkup.findings:
        add_plain_row(table, finding.what, finding.seen, str(finding.state), finding.fix or "")
    console().print(table)


# --- release ----------------------------------------------------------------------------------------------------


@command.command("release")
@click.argument("name")
@click.option("--force", is_flag=True, help="Also if somebody else has it; their measurement ends.")
@click.option("--reason", metavar="TEXT", help="Kept on the board, and told to whoever had it.")
@json_option
@verbosity_options
def release(name: str, force: bool, reason: str | None, json_target: str | None) -> None:
    """Give up a board's lease. It ends by itself two minutes after whoever holds it has gone.

    \b
    Example:
      edgebench device release pi4 --force --reason "CI job 812 hangs"
    """
    from edgebench.device import find_device
    from edgebench.errors import BoardBusy
    from edgebench.provision.maintenance import release_seen, see_lease

    device = find_device(name)
    seen = see_lease(device)
    holder, waiting = seen.holder, list(seen.waiting)
    if holder is not None and not seen.is_ours and not force:
        raise BoardBusy(
            f"{name}: {holder} has the board since {holder.since}; to end that: "
            f"edgebench device release {name} --force --reason '...'"
        )
    if holder is not None and not seen.is_ours and not reason:
        raise UsageError("--force takes a --reason: it is told to whoever has the board")
    released = release_seen(device, seen, reason=reason or "released by its own user")
    write_json(
        json_target,
        {"device": name, "released": released.to_json() if released else None, "waiting": waiting},
    )
    if to_stdout(json_target):
        queue = f"; next: {waiting[0]}" if waiting else ""
        click.echo(f"{name}: {f'taken from {released}' if released else 'nobody had the board'}{queue}")


# --- clean ------------------------------------------------------------------------------------------------------


_BYTES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Return a size such as 2GB, 500MB or 2GiB in bytes."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([KMG]I?|)B?", (value or "").upper())
    if value is not None and not match:
        raise click.BadParameter(f"{value!r} is not a size; try 2GB, 500MB or 0", ctx, param)
    return int(float(match[1]) * _BYTES[match[2]]) if match else None


@command.command("clean")
@click.argument("name")
@click.option("--older-than", callback=time_span, metavar="AGE", help="What was last used so long ago: 30d, 12h.")
@click.option("--max-size", callback=_size, metavar="SIZE", help="Then remove the oldest until so much is left: 2GB.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@json_option
@verbosity_options
def clean(name: str, older_than: int | None, max_size: int | None, dry_run: bool, json_target: str | None) -> None:
    """Remove old models, inputs, journals and agents from a board. What is in use stays.

    \b
    Example:
      edgebench device clean pi4 --older-than 30d --max-size 2GB
    """
    from edgebench.device import find_device
    from edgebench.provision.maintenance import clean_device

    if older_than is None and max_size is None:
        raise UsageError("say what may go: --older-than 30d, --max-size 2GB, or both")
    cleaned = clean_device(find_device(name), older_than_s=older_than, keep_bytes=max_size, dry_run=dry_run)
    write_json(json_target, cleaned.to_json())
    if to_stdout(json_target):
        _show_cleaned(cleaned)


def _show_cleaned(cleaned: Cleanup) -> None:
    from edgebench.report.table import add_plain_row, plain_table

    table = plain_table("what", "MB", "last used, days ago")
    table.columns[1].justify = table.columns[2].justify = "right"
    for thing in cleaned.removed:
        add_plain_row(table, thing.name, f"{thing.bytes / 1e6:,.1f}", f"{thing.age_s / 86400:.1f}")
    if cleaned.removed:
        console().print(table)
    verb, left = ("would remove", "would be") if cleaned.dry_run else ("removed", "are")
    click.echo(
        f"{cleaned.device}: {verb} {cleaned.removed_count} things, {cleaned.removed_bytes / 1e6:,.1f} MB; "
        f"{cleaned.kept_bytes / 1e6:,.1f} MB {left} left"
    )
