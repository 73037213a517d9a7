"""OpenSSH's own reading of its client configuration: `ssh -G HOST`, where an `ssh` is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from edgebench.board.transport.known_hosts import SSH_PORT
from edgebench.board.transport.ssh.home_config import config_of_home
from edgebench.board.transport.ssh.settings import HostSettings, expand, expand_path, split_paths, tokens_of
from edgebench.errors import ConfigError, ConnectionFailed
from edgebench.reading import RefusedFile, check_file
from edgebench.text import printable

#: A `Match exec` of the configuration may run a program of the user.
_TIMEOUT_S = 30


def ask_openssh(host: str, user: str | None, port: int | None) -> HostSettings | None:
    """Return what OpenSSH's client would do to reach a host; None: no `ssh` that could say so is installed.

    Args:
        user, port: they come before those of the configuration, as options of a command line do.

    Raises:
        ConfigError: OpenSSH refuses its configuration, or the host.
        ConnectionFailed: it can't resolve the name.
    """
    program = shutil.which("ssh")
    if program is None:
        return None
    options = [*(["-p", str(port)] if port is not None else []), *(["-l", user] if user is not None else [])]
    _check_config(Path.home() / ".ssh" / "config")
    with ExitStack() as stack:
        copy = stack.enter_context(config_of_home())
        status, output, said = _ssh(program, [*copy.options, *options, "-G", "--", host])
        said = copy.with_original_names(said)
    if status != 0 and not output:
        if "option" in said and "-- G" in said:  # before OpenSSH 6.8
            return None
        if "Could not resolve" in said:
            raise ConnectionFailed(f"can't find a route to {host!r}: {said}")
        raise ConfigError(f"can't find a route to {host!r}: ssh does not accept ~/.ssh/config: {said}")
    return _settings(host, _parse(output), _default_identity_files(program))


def _check_config(path: Path) -> None:
    """Refuse a configuration that `ssh` would wait for without an end."""
    try:
        check_file(path)
    except RefusedFile as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from error
    except OSError:
        pass  # as OpenSSH: there is none


def _ssh(program: str, arguments: Sequence[str]) -> tuple[int, str, str]:
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"`ssh -G` did not end within {_TIMEOUT_S} s", hint="a `Match exec` in ~/.ssh/config hangs"
        ) from error
    except OSError as error:
        raise ConfigError(f"can't start {program}: {error.strerror}") from error
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Pseudo-terminal")]
    return done.returncode, done.stdout, printable(": ".join(lines), limit=400)


@cache
def _default_identity_files(program: str) -> tuple[str, ...]:
    """Return the key files that OpenSSH tries where its configuration names none."""
    _, output, _ = _ssh(program, ["-F", "none", "-G", "localhost"])
    return tuple(_parse(output).get("identityfile", ()))


def _parse(output: str) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for line in output.splitlines():
        keyword, _, value = line.partition(" ")
        values.setdefault(keyword.lower(), []).append(value)
    return values


def _settings(name: str, values: dict[str, list[str]], default_files: Sequence[str]) -> HostSettings:
    def first(keyword: str) -> str | None:
        value = values.get(keyword, [""])[0]
        return None if value.lower() in ("", "none") else value

    hostname, user = first("hostname") or name, first("user") or ""
    port = int(first("port") or SSH_PORT)
    alias, jumps = first("hostkeyalias"), first("proxyjump") or ""
    tokens = tokens_of(name=name, hostname=hostname, user=user, port=port, alias=alias, jumps=jumps)
    files = values.get("identityfile", [])
    revoked = first("revokedhostkeys")
    command = None if jumps else first("proxycommand")
    if command is not None and values.get("proxyusefdpass") == ["yes"]:
        raise ConfigError(f"~/.ssh/config: ProxyUseFdpass of {name!r} is not supported; try a ProxyCommand without it")
    lists = [path for key in ("userknownhostsfile", "globalknownhostsfile") for path in split_paths(first(key) or "")]
    return HostSettings(
        name=name,
        hostname=hostname,
        user=user,
        port=port,
        identity_files=() if tuple(files) == tuple(default_files) else _paths(files, tokens),
        certificate_files=_paths(values.get("certificatefile", []), tokens),
        identities_only=values.get("identitiesonly") == ["yes"],
        agent=_agent(values.get("identityagent", ["SSH_AUTH_SOCK"])[0], tokens),
        known_hosts=tuple(expand_path(path.replace("%", "%%"), tokens) for path in lists),
        host_key_alias=alias,
        revoked_keys=tuple(expand_path(path, tokens) for path in split_paths(revoked or "")),
        proxy_command=expand(command, tokens, environment=False) if command else None,
        proxy_jump=tuple(jump.strip() for jump in jumps.split(",") if jump.strip()),
        accepts_unknown=(values.get("stricthostkeychecking") or ["ask"])[0] in ("false", "no", "off"),
    )


def _paths(texts: Sequence[str], tokens: dict[str, str]) -> tuple[Path, ...]:
    return tuple(expand_path(text, tokens) for text in texts if text.lower() != "none")


def _agent(text: str, tokens: dict[str, str]) -> str | None:
    if text.lower() == "none":
        return ""
    if text == "SSH_AUTH_SOCK":
        return None
    if text.startswith("$") and not text.startswith("${"):
        return os.environ.get(text[1:], "")
    return str(expand_path(text.replace("%", "%%"), tokens))
