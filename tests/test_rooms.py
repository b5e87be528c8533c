"""The rules of the rooms: who may import whom, and how long a file may be."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bioinstruct_jax"
FILES = sorted(PACKAGE.rglob("*.py"))
VERBS = {"generate", "prepare", "train", "evaluate", "study", "export", "chat", "plan", "demo"}
FRAMEWORKS = {"jax", "jaxlib", "flax", "optax", "orbax", "torch", "tensorflow"}
FREE = [
    "config",
    "config_types",
    "scoring_settings",
    "shape_settings",
    "settings",
    "schema",
    "usage",
    "yaml12",
    "files",
    "platforms",
    "resources",
    "run_folder",
    "api",
    "data",
    "demo",
    "demonstration",
    "evaluation",
    "generate",
    "generation",
    "preparation",
    "prepare",
    "similarity",
    "studies",
    "study",
    "tasks",
    "reporting",
]


@cache
def _imports(file: Path) -> set[str]:
    """Every module that a file imports, at the top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _in_room(file: Path, room: str) -> bool:
    return file.relative_to(PACKAGE).parts[0] in (room, f"{room}.py")


@pytest.mark.parametrize("room", FREE)
def test_framework_free_rooms_import_no_framework(room):
    # Mutation: `import jax` inside any function of data/ fails here.
    files = [file for file in FILES if _in_room(file, room)]
    assert files
    for file in files:
        assert not {name.split(".")[0] for name in _imports(file)} & FRAMEWORKS, file


def test_the_free_rooms_run_where_jax_is_absent():
    # The data side of a run in a process in which every framework is blocked.
    code = f"""
import sys
for name in {sorted(FRAMEWORKS)!r}:
    sys.modules[name] = None
from bioinstruct_jax import settings, run_folder
from bioinstruct_jax.config import Train
from bioinstruct_jax.data import dataset
from bioinstruct_jax.resources import resource
import bioinstruct_jax.reporting.run_report, bioinstruct_jax.reporting.plot, tempfile
text = resource("configs", "tiny.yaml").read_text()
job = settings.loads(text, job=Train, where="tiny.yaml")
from dataclasses import replace
with tempfile.TemporaryDirectory() as cache:
    data = dataset.load(replace(job, data=replace(job.data, cache_dir=cache)))
assert data.train.tokens.shape[1] == job.data.length
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("room", ["model", "training"])
def test_the_compiled_rooms_know_nothing_of_text(room):
    forbidden = ("bioinstruct_jax.data", "bioinstruct_jax.interop", "bioinstruct_jax.reporting", "transformers")
    arrays = "bioinstruct_jax.data.rows"  # of token ids
    allowed = {arrays, f"{arrays}.Rows", f"{arrays}.DTYPES"}
    for file in FILES:
        if _in_room(file, room):
            assert not {name for name in _imports(file) if name.startswith(forbidden)} - allowed, file


def test_no_room_imports_a_verb():
    for file in FILES:
        if file.name != "cli.py":
            verbs = {f"bioinstruct_jax.{verb}" for verb in VERBS}
            assert not verbs & {".".join(name.split(".")[:2]) for name in _imports(file)}, file


def test_what_is_public_says_what_it_is():
    # Modules, classes and functions; what a method is for often follows from its class.
    bare = []
    for file in FILES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        nodes = [node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))]
        bare += [(file, node.name) for node in nodes if node.name[0] != "_" and not ast.get_docstring(node)]
        bare += [(file, "the module")] if tree.body and not ast.get_docstring(tree) else []
    assert bare == []


def test_files_can_be_read_in_one_sitting():
    long = {str(file): lines for file in FILES if (lines := len(file.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long
