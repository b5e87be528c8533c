"""What int8 and nf4 cost: the loss of LoRA on a trained base, quantised and not, after the same steps on the same rows.

    python -m tests.benchmarks.quantized --base runs/small_cpu/model --rows my_rows.jsonl

Everything but `model.quantize` is the same, down to the order of the rows and the adapter's first values. Random
weights would prove nothing: the base must have been trained, and should not have seen the rows.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

PACKAGES = ("jax", "jaxlib", "flax")
LAST = 20  # steps that the training loss at the end is the mean of


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="folder of a trained model in Hugging Face layout, or a hub id")
    parser.add_argument("--rows", required=True, help="what to tune on, in any format that `train` reads")
    parser.add_argument("--columns", default="{}", help="as data.sources.0.columns of `train`")
    parser.add_argument("--template", default="medtuned", help="as data.template of `train`")
    parser.add_argument("--length", type=int, default=512, help="tokens in a row")
    parser.add_argument("--batch-rows", type=int, default=4)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    return parser.parse_args()


def losses(run: Path) -> dict[str, float]:
    """Held-out loss before and after, and the mean training loss of the last steps, in nats a target token."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    held_out = [row["held_out_loss"] for row in rows if "held_out_loss" in row]
    trained = [row["loss"] for row in rows if "loss" in row]
    last = trained[-LAST:]
    return {"before": held_out[0], "after": held_out[-1], "training": sum(last) / len(last)}


def main() -> int:
    from bioinstruct_jax import train

    given, found = options(), {}
    with tempfile.TemporaryDirectory() as folder:
        for quantize in ("none", "int8", "nf4"):
            settings = {
                "name": quantize,
                "runs_dir": folder,
                "trainable": "lora",
                "lora.rank": 16,
                "model.weights": given.base,
                "model.shape": "null",
                "model.dtype": "bfloat16",
                "model.quantize": quantize,
                "tokenizer.path": "null",
                "data.sources": f"[{{path: {given.rows}, columns: {given.columns}}}]",
                "data.template": given.template,
                "data.length": given.length,
                "data.held_out": 0.1,
                "data.cache_dir": f"{folder}/cache",
                "optimizer.learning_rate": given.learning_rate,
                "optimizer.warmup_steps": min(10, given.steps),
                "training.epochs": "null",
                "training.steps": given.steps,
                "training.batch_rows": given.batch_rows,
                "training.eval_every": given.steps,
            }
            if code := train.main(["tiny", *(f"--{name}={value}" for name, value in settings.items())]):
                return code
            found[quantize] = losses(Path(folder) / quantize)
    plain = found["none"]
    print(f"| layers' kernels | held-out loss before | after {given.steps} steps | training loss, last {LAST} steps |")
    print("| --- | ---: | ---: | ---: |")
    for quantize, values in found.items():
        name = "bfloat16" if quantize == "none" else quantize
        shown = [f"{value:.4f} ({value / plain[key] - 1:+.2%})" for key, value in values.items()]
        print(f"| {name} | {' | '.join(shown)} |")
    print(", ".join(f"{package} {version(package)}" for package in PACKAGES))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
