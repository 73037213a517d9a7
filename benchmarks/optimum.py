"""Optimum as it is installed from the registry, in an environment of its own: its export, and its int8."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from benchmarks.process_costs import Cost, cost_of

#: torch first and pinned, from its own wheels for the CPU: the same as edgebench's.
TORCH = ("torch==2.13.0", "--extra-index-url", "https://download.pytorch.org/whl/cpu")
PACKAGES = ("optimum-onnx[onnxruntime]",)
#: Kept between runs, outside of the repository.
FOLDER = Path.home() / ".cache" / "edgebench-tests" / "optimum"


def optimum_python(given: Path | None) -> Path:
    """Return the Python of an environment with Optimum: the given one, or one that is made once and kept."""
    if given is not None:
        if not (given.parent / "optimum-cli").is_file():
            raise SystemExit(f"{given}: there is no optimum-cli beside it; install optimum-onnx[onnxruntime] there")
        return given
    python = FOLDER / "bin" / "python"
    if not (python.parent / "optimum-cli").is_file():
        print(f"making an environment with Optimum in {FOLDER}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(FOLDER)], check=True)
        for packages in (TORCH, PACKAGES):
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
    return python


def versions(python: Path) -> str:
    """Return the versions that matter, as installed there."""
    code = (
        "from importlib.metadata import version\n"
        "print(', '.join(f'{name} {version(name)}' for name in"
        " ('optimum', 'optimum-onnx', 'onnxruntime', 'transformers', 'torch')))"
    )
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def export_fp32(python: Path, checkpoint: Path, folder: Path) -> tuple[Path, Cost]:
    """Export a sentence encoder; return the file and what it cost."""
    command = [_cli(python), "export", "onnx", "--model", str(checkpoint), "--task", "feature-extraction", str(folder)]
    return folder / "model.onnx", cost_of(command, environment=_QUIET)


def quantise(python: Path, fp32: Path, folder: Path) -> tuple[Path, Cost]:
    """Quantise an exported file to dynamic int8 for this processor; return the file and what it cost."""
    command = [_cli(python), "onnxruntime", "quantize", quantise_option(), "--onnx_model", str(fp32.parent)]
    cost = cost_of([*command, "-o", str(folder)], environment=_QUIET)
    return folder / "model_quantized.onnx", cost


def quantise_option() -> str:
    """Return Optimum's option for this processor."""
    if platform.machine() in ("aarch64", "arm64"):
        return "--arm64"
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    return "--avx512_vnni" if "avx512_vnni" in flags else "--avx2"


_QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": ""}


def _cli(python: Path) -> str:
    return str(python.parent / "optimum-cli")
