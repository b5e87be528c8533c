"""Makes the base that is shipped as ``small`` again: text of training splits, a LLaMA trained on it, bfloat16.

    python -m tests.benchmarks.small_base --corpora=MY_CORPORA --work=FOLDER --out=configs/bases/small

The same corpora give the same rows; weights are the same bit for bit on the same kind of CPU and versions alone.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

CORPORA = (  # name, what of it, licence, source
    ("MedQuAD", "8,000 question-answer pairs", "CC BY 4.0", "https://github.com/abachaa/MedQuAD"),
    ("MeQSum", "questions and summaries", "CC BY 4.0", "https://github.com/abachaa/MeQSum"),
    ("MTS-Dialog", "conversations and notes", "CC BY 4.0", "https://github.com/abachaa/MTS-Dialog"),
    ("ACI-Bench", "conversations and notes", "CC BY 4.0", "https://github.com/wyim/aci-bench"),
    ("PubMedQA", "abstracts", "MIT", "https://github.com/pubmedqa/pubmedqa"),
    ("ChemProt", "sentences", "Apache-2.0 repository", "https://github.com/allenai/scibert"),
    ("GAD", "sentences", "CC BY 4.0", "https://github.com/dmis-lab/biobert"),
    ("NCBI-disease", "sentences", "US government work", "https://github.com/spyysalo/ncbi-disease"),
    ("BC5CDR", "sentences", "CC BY 4.0", "https://github.com/cambridgeltl/MTL-Bioinformatics-2016"),
)
CARD = """---
license: cc-by-4.0
language: en
library_name: transformers
---
# small: a base to try things on

A LLaMA of {parameters:,} parameters in bfloat16, trained from nothing by bioinstruct-jax on biomedical text. It is far
too small to be of any use but one: to see on a CPU whether tuning on instructions changes what a model does. **It knows
no medicine: nothing that it writes may be relied on.**

- **Text**: the training splits of the corpora below, without their annotations; {records:,} texts, {tokens:,} tokens.
  Texts that share long n-grams or nearly all words with an item of an evaluation split (dev or test of any task whose
  files were there) were left out by `prepare`.
- **Tokenizer**: byte-level BPE of {vocabulary:,} tokens, trained on the same text.
- **Training**: one pass, {steps:,} steps, seed 0; held-out loss {first:.3f} before and {last:.3f} after, in nats a
  token, over {held_out:,} texts held out.
- **Made by** `python -m tests.benchmarks.small_base --corpora=MY_CORPORA --work=FOLDER --out=configs/bases/small`, that
  is `prepare text` ([text.yaml](../../corpora/text.yaml)), `train small_base`
  ([small_base.yaml](../../small_base.yaml)), and rounding to bfloat16; with {versions}.
- **Weights** (sha256 of model.safetensors): `{sha256}`

| corpus | what of it | licence | from |
| --- | --- | --- | --- |
{corpora}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for rows and run; what is finished stays")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    verb = [sys.executable, "-m"]
    text, run = asked.work / "text", asked.work / "small_base"
    rows = text / "rows" / "train-00000.jsonl"
    if not (text / "rows" / "index.json").exists():
        command = [*verb, "bioinstruct_jax.prepare", "text", f"--corpora={asked.corpora}", f"--out={text}"]
        subprocess.run(command, check=True)
    source = f"--data.sources.0.path={rows}"
    subprocess.run([*verb, "bioinstruct_jax.train", "small_base", source, f"--runs_dir={asked.work}"], check=True)
    ship(run, asked.out)
    return 0


def ship(run: Path, out: Path) -> None:
    """The finished run's model as bfloat16, with its card; says how far its logits are from the float32 ones."""
    import ml_dtypes
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out.mkdir(parents=True, exist_ok=True)
    weights = load_file(run / "model" / "model.safetensors")
    rounded = {name: array.astype(ml_dtypes.bfloat16) for name, array in weights.items()}
    save_file(rounded, out / "model.safetensors", metadata={"format": "pt"})
    for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"):
        if (run / "model" / file).exists():
            shutil.copy(run / "model" / file, out / file)
    config = json.loads((run / "model" / "config.json").read_text())
    for key in ("dtype", "torch_dtype"):
        if key in config:
            config[key] = "bfloat16"
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "README.md").write_text(card(run, out, sum(array.size for array in weights.values())))
    tokenizer = AutoTokenizer.from_pretrained(out)
    tokens = tokenizer("Metformin is used in type 2 diabetes to lower blood glucose.", return_tensors="pt")
    before, after = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(**tokens).logits.detach().numpy()
        for folder in (run / "model", out)
    )
    print(f"largest logit difference to float32: {np.abs(before - after).max():.4f}; {out}")


def card(run: Path, out: Path, parameters: int) -> str:
    """What is to be known of the base, out of the run's own files."""
    import hashlib

    data = json.loads((run / "data.json").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [row["held_out_loss"] for row in rows if "held_out_loss" in row]
    made = json.loads((run / "environment.json").read_text())
    return CARD.format(
        parameters=parameters,
        records=data["train"]["records"],
        tokens=data["train"]["packing"]["tokens"],
        vocabulary=json.loads((out / "config.json").read_text())["vocab_size"],
        steps=max(row["step"] for row in rows),
        first=losses[0],
        last=losses[-1],
        held_out=data["held_out"]["records"],
        versions=f"Python {made['python']}, jax {made['packages']['jax']}, flax {made['packages']['flax']}",
        sha256=hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest(),
        corpora="\n".join(f"| {' | '.join(row)} |" for row in CORPORA),
    )


if __name__ == "__main__":
    sys.exit(main())
