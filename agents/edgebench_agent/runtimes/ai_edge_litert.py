"""TFLite by ai_edge_litert and nothing else."""

from .tflite import bind

describe, start_session, load, open_profiler = bind(("ai_edge_litert",))
