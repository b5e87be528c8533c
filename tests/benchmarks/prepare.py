"""How long `prepare` takes, and how much memory, on the corpora at hand or on as many made-up rows as you like.

    BIOINSTRUCT_DATA=MY_CORPORA python -m tests.benchmarks.prepare
    python -m tests.benchmarks.prepare --rows 1000000

Made-up rows are questions and answers in MedQuAD's format that mean nothing; every hundredth repeats the one before.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

WORDS = (
    "fever cough rash pain dose drug liver kidney heart lung blood sugar salt water sleep child adult week day night"
)


def corpus(folder: Path, rows: int) -> None:
    """A file of `rows` rows in MedQuAD's format, the same for the same number."""
    words, state = WORDS.split(), 1
    (folder / "medquad").mkdir()
    with (folder / "medquad/medquad.jsonl").open("w", encoding="utf-8") as file:
        for row in range(rows):
            if row % 100 or not row:
                drawn = []
                for _ in range(40):
                    state = state * 6364136223846793005 % 2**64 + 1442695040888963407
                    drawn.append(words[(state >> 40) % len(words)] + str((state >> 46) % 1000))
                question, answer = " ".join(drawn[:10]) + "?", " ".join(drawn[10:]) + "."
            file.write(json.dumps({"id": str(row), "question": question, "answer": answer, "focus": ""}) + "\n")


def measure(words: list[str], out: Path) -> dict[str, float]:
    """Run the verb in a process of its own: seconds, rows, and MiB of the largest of its processes."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "bioinstruct_jax.prepare", *words, f"--out={out}"], check=True)
    seconds = time.perf_counter() - began
    told = json.loads((out / "report.json").read_text(encoding="utf-8"))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"rows": told["totals"]["all"], "seconds": round(seconds, 1), "peak_mib": round(peak)}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, help="made-up rows instead of BIOINSTRUCT_DATA")
    asked = parser.parse_args(argv)
    with TemporaryDirectory() as work:
        corpora = Path(work, "corpora")
        if asked.rows:
            corpora.mkdir()
            corpus(corpora, asked.rows)
        elif "BIOINSTRUCT_DATA" in os.environ:
            corpora = Path(os.environ["BIOINSTRUCT_DATA"]).resolve()
        else:
            parser.error("set BIOINSTRUCT_DATA to a folder of corpora, or give --rows")
        print(json.dumps(measure(["everything", f"--corpora={corpora}"], Path(work, "out"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
