"""The package as it is installed, and the default run as a newcomer starts it."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_wheel_holds_configs_seeds_and_the_tokenizer(tmp_path):
    # Mutation: `force-include` without seeds fails here, and nowhere in an editable install.
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("configs", "seeds"):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file():
                assert f"bioinstruct_jax/_resources/{file.relative_to(ROOT)}" in names
    for file in (ROOT / "bioinstruct_jax").rglob("*"):  # styles and scripts of reports too
        if file.is_file() and "__pycache__" not in file.parts:
            assert str(file.relative_to(ROOT)) in names
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    code = "from bioinstruct_jax.resources import resource; print(resource('seeds', 'other.jsonl'))"
    environment = os.environ | {"PYTHONPATH": str(site)}
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.stdout.strip().startswith(str(site))


@pytest.mark.slow
def test_the_command_of_the_readme_trains_on_the_seeds(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    command = [sys.executable, "-m", "bioinstruct_jax.train", f"--runs_dir={tmp_path}"]
    run = subprocess.run(command, check=True, env=environment, capture_output=True, text=True, timeout=900)
    assert "held-out loss" in run.stdout
    rows = [json.loads(line) for line in (tmp_path / "tiny" / "metrics.jsonl").read_text().splitlines()]
    held_out = [row["held_out_loss"] for row in rows if "held_out_loss" in row]
    assert held_out[-1] < held_out[0] - 0.5
    data = json.loads((tmp_path / "tiny" / "data.json").read_text())
    assert data["bad_rows"]["count"] == 0
    assert not data["train"]["dropped"]


def test_the_shipped_tokenizer_is_what_the_command_makes_of_the_seeds(tmp_path):
    # Mutation: a seed edited without making the tokenizer again fails here.
    from bioinstruct_jax.data import tokenizer

    tokenizer.main(["--source", "seeds", "--vocab-size", "2048", "--out", str(tmp_path / "made")])
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "made" / file).read_bytes() == (ROOT / "configs/tokenizers/tiny" / file).read_bytes()
