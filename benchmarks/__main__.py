"""All benchmarks that need nothing but this machine: python -m benchmarks"""

from __future__ import annotations

import subprocess
import sys

for name in ("overhead", "push"):
    print(f"--- python -m benchmarks.{name}", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
