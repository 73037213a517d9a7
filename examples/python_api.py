"""Measure a model from another project's code: python examples/python_api.py"""

import edgebench

workload = edgebench.Workload(lang="sw")
plan = edgebench.RunPlan(runs=3, min_count=50, min_duration_s=0.2)
result = edgebench.profile("reference:tiny", device="local", format="onnx-int8", workload=workload, plan=plan)
print(f"p50 {result.latency_ms.p50} ms, 95 % interval {result.latency_ms.p50_ci}")
print(f"{result.throughput_per_s} inputs/s, {result.memory_bytes.peak_pss} bytes PSS, valid: {result.valid}")
print(f"raw latencies of the first run, ns: {result.runs[0].latencies_ns[:5]}")
