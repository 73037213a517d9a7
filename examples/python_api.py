"""Measure a model from another project's code: python examples/python_api.py [MODEL] [DEVICE]"""

import sys

import edgebench

model = sys.argv[1] if len(sys.argv) > 1 else "reference:tiny"
device = sys.argv[2] if len(sys.argv) > 2 else "local"
plan = edgebench.RunPlan(runs=3, min_count=50, min_duration_s=0.2)
result = edgebench.profile(model, device=device, format="onnx-int8", workload=edgebench.Workload(lang="sw"), plan=plan)
print(f"p50 {result.latency_ms.p50:.3f} ms, 95 % interval {result.latency_ms.p50_ci}")
print(f"{result.throughput_per_s:.1f} inputs/s, {result.memory_bytes.peak_pss} bytes PSS, valid: {result.valid}")
print(f"raw latencies of the first run, ns: {result.runs[0].latencies_ns[:5]}")
