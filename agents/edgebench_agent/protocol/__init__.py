"""What the host and the board send each other: messages, specifications, and their lines. Both sides import this room.

In: lines of JSON that nothing has checked. Out: dataclasses whose fields have been checked, and lines to send.

The host finds every name here. The agent imports the modules themselves: on a slow board, each line costs time to load.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .public import *  # noqa: F403
else:

    def __getattr__(name: str) -> Any:
        """Return a name of the protocol; its module is loaded when it is first used (PEP 562)."""
        from importlib import import_module

        value = globals()[name] = getattr(import_module(".public", __name__), name)
        return value
