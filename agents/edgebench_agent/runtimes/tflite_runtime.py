"""TFLite by tflite_runtime, its older distribution, and nothing else."""

from .tflite import bind

describe, start_session, load, open_profiler = bind(("tflite_runtime",))
