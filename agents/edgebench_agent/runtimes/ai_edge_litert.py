"""TFLite by ai_edge_litert and nothing else."""

from .tflite import bind

describe, load, open_profiler = bind(("ai_edge_litert",))
