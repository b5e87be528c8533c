import re
import subprocess
import sys

import pytest

import bioinstruct_jax
from bioinstruct_jax import cli

HEAVY = ("jax", "jaxlib", "flax", "optax", "orbax", "transformers", "datasets", "torch", "tensorflow", "matplotlib")
HEAVY += ("pyarrow", "wandb", "tensorboardX", "rich", "openai", "numpy", "sklearn")


def command(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_help_of_a_verb_imports_nothing_heavy(verb):
    # Mutation: `import jax` at the top of the verb, of settings.py or of config.py
    code = (
        "import sys\nfrom bioinstruct_jax import cli\n"
        f"try: cli.main(['{verb}', '--help'])\n"
        f"except SystemExit as stop: assert stop.code == 0\n"
        f"print('IMPORTED', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = command("-c", code)
    assert done.returncode == 0, done.stderr
    assert f"usage: python -m bioinstruct_jax.{verb}" in done.stdout
    assert done.stdout.splitlines()[-1] == "IMPORTED []"


@pytest.mark.parametrize("verb", list(cli.VERBS))
@pytest.mark.parametrize("words", [["--sead=1"], ["nowhere.yaml"], ["--name"], ["-x"], ["--seed=[[["], ["", ""]])
def test_bad_words_are_told_and_return_2(verb, words, capsys):
    assert cli.main([verb, *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.strip()
    assert "Traceback" not in said.err


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_bad_words_end_a_process_with_2_and_without_traceback(verb):
    done = command("-m", f"bioinstruct_jax.{verb}", "nowhere.yaml")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert done.stderr.strip()


def test_the_command_and_the_module_are_the_same():
    module = command("-m", "bioinstruct_jax.train", "--sead=1")
    script = command("-c", "import sys; from bioinstruct_jax.cli import main; sys.exit(main())", "train", "--sead=1")
    assert (module.returncode, module.stderr) == (script.returncode, script.stderr)
    package = command("-m", "bioinstruct_jax", "train", "--sead=1")
    assert (package.returncode, package.stderr) == (script.returncode, script.stderr)


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert re.fullmatch(r"bioinstruct-jax \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)
    with pytest.raises(AttributeError, match="no attribute 'versoin'"):
        _ = bioinstruct_jax.versoin


@pytest.mark.parametrize("words", [["--help"], ["-h"]])
def test_help_lists_every_verb_and_no_other(words, capsys):
    assert cli.main(words) == 0
    listed = capsys.readouterr().out.partition("verbs:\n")[2].partition("\n\n")[0]
    assert [line.split()[0] for line in listed.splitlines()] == list(cli.VERBS)


def test_no_verb_and_an_unknown_one(capsys):
    assert cli.main([]) == 2
    assert "usage: bioinstruct <verb>" in capsys.readouterr().err
    assert cli.main(["trian"]) == 2
    assert "unknown verb 'trian'; did you mean train?" in capsys.readouterr().err
    assert cli.main(["xyzzy"]) == 2
    assert "the verbs are generate, prepare, train" in capsys.readouterr().err
