"""Commands in the pages and in `--help` can be read: each option is one of its verb, each module is there."""

import importlib
import re
import shlex
import shutil

import pytest

from bioinstruct_jax import schema, settings
from tests.docs import commands, pages

SHELL = [
    (pages.name(page), block.line, command)
    for page in pages.pages()
    for block in pages.blocks(page)
    if block.language == "sh"
    for command in commands.commands(block.text)
]
HELP = [
    (verb, words)
    for verb in commands.VERBS
    for words in importlib.import_module(f"bioinstruct_jax.{verb}").EXAMPLES
]  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the files that examples name: settings of one's own, a run's, those that are shipped."""
    own = {"my.yaml": "tiny", "runs/first/config.yaml": "tiny", "my_study.yaml": "studies/small"}
    for place, shipped in own.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(pages.ROOT / f"configs/{shipped}.yaml", tmp_path / place)
    (tmp_path / "configs").symlink_to(pages.ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_commands():
    assert len(SHELL) > 60
    assert {command.verb for _, _, command in SHELL} >= set(commands.VERBS)


@pytest.mark.parametrize(("page", "line", "command"), SHELL, ids=lambda value: str(value)[:70])
def test_a_command_of_a_page_can_be_read(page, line, command, here, capsys):
    # Mutations: an option misspelt in a guide; a key renamed in config.py and not in the docs.
    if command.verb is None:
        assert commands.source(command.module).is_file(), f"{page}:{line}: {command.module}"
        text = commands.source(command.module).read_text(encoding="utf-8")
        for word in command.words:
            if word.startswith("--"):
                name = word.removeprefix("--").partition("=")[0]
                assert name in text or name.replace("-", "_") in text, f"{page}:{line}: {word}"
        return
    if "--help" in command.words:
        return
    try:
        commands.load(command.verb, command.words)
    except AssertionError as error:
        raise AssertionError(f"{page}:{line}: {error}\n{capsys.readouterr().err}") from None


@pytest.mark.parametrize(("verb", "words"), HELP)
def test_an_example_of_the_help_can_be_read(verb, words, here, capsys):
    # Mutation: a shipped configuration renamed, or a required key without a value, and the example left as it was.
    given = commands.commands(f"python -m bioinstruct_jax.{verb} {words}")[0].words
    try:
        commands.load(verb, given)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{capsys.readouterr().err}") from None


@pytest.mark.parametrize("verb", commands.VERBS)
def test_help_says_what_every_exit_code_means_and_has_examples(verb, capsys):
    module = importlib.import_module(f"bioinstruct_jax.{verb}")
    with pytest.raises(SystemExit):
        module.main(["--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "Exit code: 0" in out
    for words in module.EXAMPLES:
        assert " ".join(f"python -m bioinstruct_jax.{verb} {words}".split()) in out


def test_options_in_running_text_are_options_of_a_verb_or_a_benchmark():
    # Mutation: `--training.beste` in any sentence of a guide.
    known = {}
    for verb in commands.VERBS:
        job, extras = commands.classes(verb)
        known[verb] = {key.name for kind in (job, extras) for key in schema.keys(kind)}
    benchmarks = "".join(file.read_text(encoding="utf-8") for file in (pages.ROOT / "tests/benchmarks").glob("*.py"))
    # Of `bioinstruct`, tpu.sh and plan; and what stands for any.
    others = {"--version", "--help", "--dry-run", "--delete", "--config", "--key"}
    for page in (page for page in pages.guides() if not page.name.startswith("from-")):
        for span in pages.spans(pages.prose(page)):
            for word in shlex.split(span) if span.startswith("--") else []:
                if not re.match(r"--[a-z]", word) or word.startswith(("--runner",)):
                    continue
                option = word.partition("=")[0]
                name = re.sub(r"(?<=[a-z])-(?=[a-z])", "_", option.removeprefix("--"))
                pattern = re.sub(r"\.\d+(?=\.|$)", ".N", name)
                found = any(pattern.removesuffix(".*") in keys for keys in known.values())
                found = found or option in others or f'"{option}"' in benchmarks
                assert found, f"{pages.name(page)}: {span}"


def test_each_verb_has_a_guide_that_runs_something():
    for verb in commands.VERBS:
        page = pages.ROOT / "docs" / f"{verb}.md"
        assert page.is_file(), verb
        run = [block for block in pages.blocks(page) if block.mark[:1] == ("run",)]
        assert any(f"bioinstruct_jax.{verb}" in block.text for block in run), verb


def test_settings_error_is_what_stops_a_bad_command(here, capsys):
    with pytest.raises(AssertionError, match="ended with 2"):
        commands.load("train", ("tiny", "--lora.rang=8"))
    assert "did you mean --lora.rank" in capsys.readouterr().err
    assert issubclass(settings.SettingsError, ValueError)
