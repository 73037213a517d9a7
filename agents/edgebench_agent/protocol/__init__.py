"""What the host and the agent send each other. Both sides import this room: standard library only, Python 3.8 syntax.

In: lines of JSON, none of them trusted. Out: dataclasses whose fields are checked, and lines to send.

Three things cross the wire:

- the **journal**: messages with `seq` (0, 1, 2, ...) and `t_ns` (the board's monotonic clock), which the host follows;
- **replies**: each agent command except `follow` and `fetch` prints one `{"ok": true, ...}` or
  `{"ok": false, "kind": ..., "message": ...}` (`receive` prints one before and one after the bytes). `follow` and
  `fetch` report an error as one line on standard error. The exit status is 0 or 1;
- **specifications and requests**: what the host wants, on the standard input of `launch`, `install`, `lease` ...

The host finds every name here. Agent code imports the modules themselves: a slow board should load only what it needs.
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
