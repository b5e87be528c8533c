"""The package as it is installed, and the default run as a newcomer starts it."""

import email
import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


LARGEST = 12 * 2**20  # bytes of a wheel or an sdist
CONTENTS = {
    ".py",
    ".typed",
    ".yaml",
    ".json",
    ".jsonl",
    ".md",
    ".css",
    ".js",
    ".html",
    ".safetensors",
    ".model",
    ".txt",
}
OPTIONAL = ["torch", "peft", "libtpu", "apache_beam", "gcsfs", "bert_score", "wandb", "tensorboardX"]
OPTIONAL += ["lm_eval", "seqeval", "nervaluate", "pytest", "hypothesis"]
BEAM = ["bioinstruct_jax.preparation.beam", "bioinstruct_jax.preparation.beam_steps"]


def _built(source: Path, out: Path, *what: str) -> Path:
    """The one file that building `source` leaves in `out`; without a network, by the installed hatchling."""
    command = [sys.executable, "-m", "build", "--no-isolation", *what, "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return _built(ROOT, tmp_path_factory.mktemp("wheel"), "--wheel")


def _files(wheel: Path) -> dict[str, int]:
    """Checksum by name."""
    return {one.filename: one.CRC for one in zipfile.ZipFile(wheel).infolist()}


@pytest.mark.slow
def test_the_wheel_holds_the_package_configs_and_seeds_and_nothing_else(wheel):
    # Mutations: `force-include` without seeds, which no editable install shows; py.typed removed; a pickle in configs/.
    ours = {str(file.relative_to(ROOT)) for file in (ROOT / "bioinstruct_jax").rglob("*") if file.is_file()}
    for folder in ("configs", "seeds"):
        found = (file for file in (ROOT / folder).rglob("*") if file.is_file())
        ours |= {f"bioinstruct_jax/_resources/{file.relative_to(ROOT)}" for file in found}
    ours = {name for name in ours if "__pycache__" not in name}
    names = set(_files(wheel))
    assert {name for name in names if ".dist-info/" not in name} == ours
    assert "bioinstruct_jax/py.typed" in names
    assert {Path(name).suffix for name in ours} <= CONTENTS
    assert wheel.stat().st_size < LARGEST


@pytest.mark.slow
def test_the_wheel_says_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as packed:
        (folder,) = {name.split("/")[0] for name in packed.namelist() if ".dist-info/" in name}
        said = email.message_from_bytes(packed.read(f"{folder}/METADATA"))
        licence = packed.read(f"{folder}/licenses/LICENSE")
    assert said["Description-Content-Type"] == "text/markdown"
    assert said.get_payload(decode=True).strip() == (ROOT / "README.md").read_bytes().strip()
    assert (said["Name"], said["License-Expression"]) == ("bioinstruct-jax", "Apache-2.0")
    assert licence == (ROOT / "LICENSE").read_bytes()


@pytest.mark.slow
def test_the_sdist_makes_the_same_wheel(wheel, tmp_path):
    # Mutation: seeds excluded from the sdist.
    sdist = _built(ROOT, tmp_path / "sdist", "--sdist")
    assert sdist.stat().st_size < LARGEST
    with tarfile.open(sdist) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
        packed.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    assert not [name for name in names if name.startswith(("runs/", ".git/", "dist/")) or "__pycache__" in name]
    (source,) = (place for place in tmp_path.iterdir() if place.name != "sdist")
    assert _files(_built(source, tmp_path / "again", "--wheel")) == _files(wheel)


@pytest.mark.slow
def test_the_wheel_installs_and_finds_its_own_files(wheel, tmp_path):
    # What it depends on is that of this interpreter, so that nothing is downloaded.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True, timeout=120)
    python = tmp_path / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], check=True, timeout=300)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def said(*words: str) -> str:
        run = subprocess.run(words, check=True, cwd=tmp_path, env=plain, capture_output=True, text=True, timeout=300)
        return run.stdout

    code = "from bioinstruct_jax.resources import resource; print(resource('seeds', 'other.jsonl'))"
    assert said(str(python), "-c", code).startswith(str(site))
    command = str(tmp_path / "venv" / "bin" / "bioinstruct")
    assert said(command, "--version").startswith("bioinstruct-jax ")
    assert "usage: python -m bioinstruct_jax.train" in said(command, "train", "--help")


def test_every_module_imports_without_the_extras():
    # Mutation: `import torch` at the top of any module but those of the extra 'beam'.
    code = f"""
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys({OPTIONAL}))
import bioinstruct_jax
for module in pkgutil.walk_packages(bioinstruct_jax.__path__, "bioinstruct_jax."):
    if module.name not in {BEAM}:
        importlib.import_module(module.name)
for name in {BEAM}:
    try:
        importlib.import_module(name)
    except ImportError as error:
        assert "apache_beam" in str(error)
    else:
        raise AssertionError(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


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
