"""How long an SSH connection may take for what. Read at each use, so that tests can shorten them."""

from __future__ import annotations

CONNECT_S = 10.0
#: How long the board may take to answer a request on an open connection (a login, a command's start).
ANSWER_S = 20.0
#: How long the files of a login shell (~/.bashrc) may take before the command begins.
LOGIN_SHELL_S = 60.0
#: How long a command may take nothing of what is written to it.
WRITE_STALL_S = 60.0
#: The kernel gives up a link that acknowledges nothing for so long; paramiko by itself would wait for ever.
DEAD_LINK_MS = 10_000
KEEPALIVE_S = 5
#: How long the SSH agent here may take to list its keys, and to sign with one: a person may have to confirm that.
AGENT_S = 5.0
AGENT_SIGNATURE_S = 60.0
