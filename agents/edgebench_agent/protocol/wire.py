"""What every command needs of the protocol: bounds, fixed words, and the encoding of a line.

It is separate because it loads in a tenth of the time, and `follow` and `receive` need no other part of the protocol.
"""

import json
import re
from typing import Any, Dict

PROTOCOL_VERSION = 1

MAX_LINE_BYTES = 1 << 20
MAX_SPEC_BYTES = 32 * MAX_LINE_BYTES
MAX_INT = (1 << 63) - 1

#: Follower to host, every second without a message, while the run's supervisor gives signs of life; it gives none while
#: the worker is stopped. Not part of the journal.
HEARTBEAT = b'{"type": "heartbeat"}\n'
RENEW = b"renew\n"  # host to follower: renew the run's lease
STOP = b"stop\n"  # host to follower: end the run cleanly

#: Files of a run that `fetch` hands out, by the name the host asks for.
RUN_FILES = ("journal.ndjson", "agent.log", "outputs.npy")

#: Why a run or a command failed. The host decides by these; the message is for people.
FAILURE_KINDS = (
    "interrupted",  # SIGTERM or Ctrl-C on the board, or a stop from the host
    "lease_expired",  # the run's lease was not renewed
    "lease_lost",  # the board has another owner by now
    "killed",  # the worker died of a signal
    "out_of_memory",
    "out_of_disk",
    "runtime_missing",
    "runtime_broken",  # the runtime can't be imported: wrong build, illegal instruction
    "model_rejected",  # the runtime refuses the file
    "inputs_rejected",  # the model takes other inputs than the workload has
    "outputs_rejected",  # the model answered NaN or infinity
    "not_found",
    "not_permitted",  # files of another user are in the way
    "corrupt",  # bytes with another hash than expected
    "stuck",  # the worker made no progress, or its supervisor gave no sign of life, for so long that they never will
    "busy",  # another run is measuring on this board
    "refused",  # the board does not accept a setting, or this user has no right to make it
    "bad_request",
    "crashed",  # anything else, with a traceback
)


def encode_object(values: Dict[str, Any]) -> bytes:
    """Return an object as a line of JSON. Characters that are not text (NUL, half a surrogate pair) are replaced."""
    line = json.dumps(values, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    if "\\u0000" in line:
        line = re.sub(r"\\(?:u0000|.)", lambda escape: escape.group().replace("\\u0000", "?"), line)
    return line.encode("utf-8", "replace") + b"\n"


def one_line(text: str, limit: int = 1000) -> str:
    """Return text as one printable line of at most `limit` characters, as a message's text must be."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."
