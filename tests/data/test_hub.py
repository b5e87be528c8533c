import json
import os
import subprocess
import sys

from bioinstruct_jax.config import Source
from bioinstruct_jax.data.readers import digest, read

ROWS = [
    {"instruction": "List the drugs.", "input": "Aspirin 75 mg daily, no statin.", "output": "Aspirin"},
    {"instruction": "Expand SOB.", "input": "", "output": "shortness of breath"},
]


def test_a_hub_id_without_network_and_what_reading_imports(tmp_path):
    # Mutation: streaming=True in _local_rows imports torch.
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_bytes(json.dumps(ROWS[0]).encode())
    script = """
import sys
from bioinstruct_jax.config import Source
from bioinstruct_jax.data.mixture import mix
assert "datasets" not in sys.modules and "pyarrow" not in sys.modules
assert len(mix([Source(path="set")], seed=0, on_bad_row="raise").records) == 1
assert not {"jax", "torch", "tensorflow"} & set(sys.modules)
mix([Source(path="bio-nlp-umass/bioinstruct")], seed=0, on_bad_row="report")
"""
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=env)
    last = answer.stderr.strip().splitlines()[-1]
    assert "SourceError: bio-nlp-umass/bioinstruct: there is no such local path, and as a data set of the hub" in last
    assert "hf download bio-nlp-umass/bioinstruct --repo-type dataset --local-dir bioinstruct" in last


def test_a_hub_id_is_loaded_whole_and_without_remote_code(monkeypatch):
    # lm-eval#3942. Mutation: trust_remote_code=True.
    import datasets

    asked = []

    def load(*args, **kwargs):
        asked.append((args, kwargs))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    source = Source(path="some-owner/some.set", split="test")
    records = list(read(source))
    assert asked == [(("some-owner/some.set",), {"split": "test"})]
    assert [row.output for row in records] == [row["output"] for row in ROWS]
    assert records[1].id == "some.set:2"
    assert digest(source) == ""
