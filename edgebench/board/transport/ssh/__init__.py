"""Boards over SSH: the one package that knows Fabric and paramiko, and translates all their errors.

A Device goes in; a Transport, the host key of a board or an installed public key come out. Importing it loads Fabric.
"""

from edgebench.board.transport.ssh.connection import SshTransport
from edgebench.board.transport.ssh.enrolment import ShownKey, fetch_host_key, install_public_key, show_host_key

__all__ = ["ShownKey", "SshTransport", "fetch_host_key", "install_public_key", "show_host_key"]
