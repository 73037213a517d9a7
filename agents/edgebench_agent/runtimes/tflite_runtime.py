"""TFLite by tflite_runtime, its older distribution, and nothing else."""

from .tflite import bind

describe, load, open_profiler = bind(("tflite_runtime",))
