"""Every name that users of the protocol find in `edgebench_agent.protocol`."""

from .checks import (
    MAX_ITEMS as MAX_ITEMS,
    MAX_MODELS as MAX_MODELS,
    ProtocolError as ProtocolError,
    decode_object as decode_object,
)
from .input_names import (
    INPUT_NAMES as INPUT_NAMES,
    plain_input_name as plain_input_name,
)
from .installation import (
    Adoption as Adoption,
    InstallSpec as InstallSpec,
    Leftovers as Leftovers,
    WheelFile as WheelFile,
)
from .messages import (
    MAX_BLOCK as MAX_BLOCK,
    MAX_TEXT as MAX_TEXT,
    MESSAGE_TYPES as MESSAGE_TYPES,
    Busiest as Busiest,
    Done as Done,
    Entry as Entry,
    Failed as Failed,
    First as First,
    Hello as Hello,
    Latencies as Latencies,
    Loaded as Loaded,
    Log as Log,
    Message as Message,
    Operators as Operators,
    Outputs as Outputs,
    Phase as Phase,
    Readings as Readings,
    WarmedUp as WarmedUp,
    decode_message as decode_message,
    encode_body as encode_body,
    encode_message as encode_message,
    stamp as stamp,
)
from .padding import (
    padded_length as padded_length,
    parts_without_padding as parts_without_padding,
)
from .requests import (
    LeaseRequest as LeaseRequest,
    PowerRequest as PowerRequest,
)
from .run_spec import (
    AlternateModel as AlternateModel,
    ModelFile as ModelFile,
    RunSpec as RunSpec,
)
from .wire import (
    FAILURE_KINDS as FAILURE_KINDS,
    HEARTBEAT as HEARTBEAT,
    MAX_INT as MAX_INT,
    MAX_LINE_BYTES as MAX_LINE_BYTES,
    MAX_SPEC_BYTES as MAX_SPEC_BYTES,
    PROTOCOL_VERSION as PROTOCOL_VERSION,
    RENEW as RENEW,
    RUN_FILES as RUN_FILES,
    STOP as STOP,
    encode_object as encode_object,
    one_line as one_line,
)
