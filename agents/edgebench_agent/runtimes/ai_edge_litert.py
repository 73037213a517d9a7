"""TFLite by ai_edge_litert and nothing else."""

from .tflite import bind

describe, load = bind(("ai_edge_litert",))
