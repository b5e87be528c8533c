"""Settings of a training run of seconds, on rows of its own."""

import json
from pathlib import Path

import yaml

ROWS = [
    {"instruction": f"Which drug class does {drug} belong to?", "input": "", "output": f"{kind}."}
    for drug, kind in [
        ("metoprolol", "A beta blocker"),
        ("lisinopril", "An ACE inhibitor"),
        ("warfarin", "A vitamin K antagonist"),
        ("furosemide", "A loop diuretic"),
        ("amoxicillin", "A penicillin"),
        ("sertraline", "A selective serotonin reuptake inhibitor"),
        ("salbutamol", "A short-acting beta agonist"),
        ("omeprazole", "A proton pump inhibitor"),
        ("atorvastatin", "A statin"),
        ("prednisolone", "A corticosteroid"),
        ("insulin glargine", "A long-acting insulin"),
        ("heparin", "An anticoagulant"),
    ]
]
SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.1,
}


def metric_rows(run: Path) -> list[dict]:
    """The rows of a run's metrics."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def write(folder: Path, rows: list[dict] = ROWS, **changes: object) -> Path:
    """A settings file for a run of seconds; `changes` are laid over its sections."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings: dict = {
        "name": "run",
        "runs_dir": str(folder / "runs"),
        "platform": "cpu",
        "model": {"weights": "random", "dtype": "float32", "shape": SHAPE},
        "lora": {"rank": 4, "dropout": 0.1},
        "tokenizer": {"path": "tiny"},
        "data": {
            "sources": [{"path": str(folder / "rows.jsonl")}],
            "length": 128,
            "packing": False,
            "held_out": 0.2,
            "cache_dir": str(folder / "cache"),
        },
        "optimizer": {"learning_rate": 0.01, "warmup_steps": 2},
        "training": {"steps": 6, "batch_rows": 16, "micro_batches": 2, "eval_every": 2, "checkpoint_every": 2},
    }
    for name, value in changes.items():
        settings[name] = settings.get(name, {}) | value if isinstance(value, dict) else value
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file
