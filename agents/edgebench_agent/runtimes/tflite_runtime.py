"""TFLite by tflite_runtime, its older distribution, and nothing else."""

from .tflite import bind

describe, load = bind(("tflite_runtime",))
