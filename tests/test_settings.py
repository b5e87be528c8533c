import os
import re
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import Field

from bioinstruct_jax import config, files, schema, settings
from bioinstruct_jax.config import Data, Lora, Model, Optimizer, Shape, Source, Tokenizer, Train, Training
from bioinstruct_jax.resources import resource
from bioinstruct_jax.settings import SettingsError
from bioinstruct_jax.usage import Verb

FILE = """\
name: first
model:
  weights: random
  shape: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4}
tokenizer: {path: tiny}
data:
  sources:
    - path: seeds
    - path: more.jsonl
      weight: 2
  length: 256
training:
  steps: 10
"""


@config.config
class Extras:
    preview: Annotated[config.Natural, Field(description="print so many rows")] = 0


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text(FILE)
    return path


def load(file, *argv, text=None):
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return settings.load(list(argv), Verb("train", "Trains.", (), default=file), Train, Extras)


def problems(file, *argv, text=None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(file, *argv, text=text)
    return str(caught.value).replace(str(file), "my.yaml")


# ------------------------------------------------------------------ what is read


def test_file_and_command_line(file):
    job, extras = load(
        file,
        "--optimizer.learning_rate=1e-4",
        "--training.steps",
        "20",
        "--mesh.fsdp",
        "-1",
        "--data.sources.1.path=other.jsonl",
        "--data.sources.2={path: third.csv, columns: {input: text}}",
        "--data.sources.2.columns.output=answer",
        "--model.shape.rope_scaling=null",
        "--lora.rslora=true",
        "--lora.targets=[q_proj]",
        "--preview=3",
    )
    assert job.optimizer.learning_rate == 1e-4
    assert job.training.steps == 20
    assert [(one.path, one.weight) for one in job.data.sources] == [
        ("seeds", 1.0),
        ("other.jsonl", 2.0),
        ("third.csv", 1.0),
    ]
    assert job.data.sources[2].columns == {"input": "text", "output": "answer"}
    assert job.lora == Lora(rslora=True, targets=("q_proj",))
    assert extras == Extras(preview=3)


def test_the_later_option_wins(file):
    job, _ = load(file, "--data.sources.0.path=a", "--data.sources=[{path: b}]", "--seed=1", "--seed=2")
    assert [one.path for one in job.data.sources] == ["b"]
    assert job.seed == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [("7", "7"), ("1e10", "1e10"), ("true", "true"), ("'7'", "7"), ("null", None), ("[a", "[a"), ("*x", "*x")],
)
def test_a_key_that_takes_text_takes_any_text(file, option, value):
    # Mutation: with YAML alone, the commit 1e10 becomes a number and the option an error
    assert load(file, f"--model.revision={option}")[0].model.revision == value


def test_sections_and_lists_that_the_file_does_not_have(file):
    text = "name: a\ntraining: {steps: 1}\ntokenizer:\nmodel: {weights: random, shape: null}\ndata: {}\n"
    sizes = [f"--model.shape.{key}=8" for key in ("hidden_size", "intermediate_size", "num_hidden_layers")]
    job, _ = load(
        file,
        "--data.sources.0.path=seeds",
        "--tokenizer.path=t",
        *sizes,
        "--model.shape.num_attention_heads=2",
        text=text,
    )
    assert job.data.sources == (Source(path="seeds"),)
    assert job.model.shape.head_size == 4


def test_an_alias_is_changed_in_one_place(file):
    text = FILE.replace("- path: seeds", "- &a {path: seeds}").replace("- path: more.jsonl\n      weight: 2", "- *a")
    job, _ = load(file, "--data.sources.1.path=other", text=text)
    assert [one.path for one in job.data.sources] == ["seeds", "other"]


@pytest.mark.parametrize("text", [FILE.replace("\n", "\r\n"), "\ufeff" + FILE, "---\n" + FILE, FILE.rstrip()])
def test_line_ends_byte_order_mark_and_document_start(file, text):
    assert load(file, text=text) == load(file, text=FILE)


def test_files_are_found_by_path_bucket_and_shipped_name(file):
    files.path("memory://settings/a.yaml").write_text(FILE)
    for name in (str(file), "memory://settings/a.yaml"):
        assert load(file, name)[0].name == "first"
    for name in ("llama2_7b", "llama2_7b.yaml"):
        assert load(file, name)[0].name == "llama2_7b"


def test_a_local_file_comes_before_a_shipped_one(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    (file.parent / "llama2_7b.yaml").write_text(FILE)
    assert load(file, "llama2_7b.yaml")[0].name == "first"


# ------------------------------------------------------------------ what is refused

IN_THE_FILE = [
    (("seed: 3", "sead: 3"), "my.yaml:1: sead: unknown key, given 3; did you mean seed?"),
    (("learning_rate: 3", "learning_rate: 3"), "my.yaml:1: learning_rate: unknown key, given 3; did you mean opt"),
    (("", "xyzzy: 3"), "xyzzy: unknown key, given 3; the keys here are name, runs_dir, seed"),
    (("", "optimizer: {lerning_rate: 1e-4}"), "optimizer.lerning_rate: unknown key, given 0.0001; did you mean opt"),
    (("", "optimizer.learning_rate: 1e-4"), "written as sections: optimizer: {learning_rate: ...}"),
    (("", "optimizer: {learning_rate: fast}"), "optimizer.learning_rate: needs a number, given fast"),
    (("", "optimizer: {learning_rate: '1e-4'}"), "optimizer.learning_rate: needs a number, given '1e-4'"),
    (("", "optimizer: {learning_rate: true}"), "optimizer.learning_rate: needs a number, given true"),
    (("", "optimizer: {learning_rate: -1}"), "optimizer.learning_rate: should be greater than 0, given -1"),
    (("", "optimizer: {learning_rate: .nan}"), "optimizer.learning_rate: needs a finite number, given .nan"),
    (("", "optimizer: {learning_rate: .inf}"), "optimizer.learning_rate: needs a finite number, given .inf"),
    (("", "optimizer: {learning_rate: null}"), "optimizer.learning_rate: needs a number, given null"),
    (("", "optimizer: {learning_rate: [1]}"), "optimizer.learning_rate: needs a number, given [1]"),
    (("", "optimizer: {schedule: cosin}"), "needs one of cosine, linear, constant; given cosin; did you mean cosine?"),
    (("", "optimizer: {schedule: {a: 1}}"), "optimizer.schedule: needs one of"),
    (("", "optimizer: {b2: 1}"), "optimizer.b2: should be less than 1, given 1"),
    (("", "optimizer: {clip_norm: none}"), "clip_norm: needs a number, given none; nothing is written null"),
    (("", "optimizer: 3"), "optimizer: needs a section with learning_rate, schedule"),
    (("", "optimizer: [1]"), "my.yaml:1: optimizer: needs a section"),
    (("", "optimizer:"), "optimizer: needs a section with learning_rate"),
    (("", "seed: 1.5"), "seed: needs a whole number, given 1.5"),
    (("", "seed: 1.0"), "seed: needs a whole number, given 1.0"),
    (("", "seed: 99999999999"), "seed: should be less than or equal to 2147483647"),
    (("", "seed: 1_000"), "seed: needs a whole number, given '1_000'"),
    (("", "lora: {rslora: yes}"), "lora.rslora: needs true or false, given 'yes'"),
    (("", "lora: {rslora: 1}"), "lora.rslora: needs true or false, given 1"),
    (("", "lora: {targets: q_proj}"), "lora.targets: needs a list, [a, b], given q_proj"),
    (("", "lora: {targets: [q_proj, 3]}"), "lora.targets.1: needs text"),
    (("", "lora: {targets: [q]}"), "my.yaml:1: lora: targets ['q']: give each of q_proj"),
    (("", "lora: {targets: []}"), "lora: targets []"),
    (("", "lora: {rank: 0}"), "lora.rank: should be greater than 0, given 0"),
    (("", "mesh: {fsdp: 0}"), "my.yaml:1: mesh: data, fsdp, tensor = (1, 0, 1)"),
    (("", '"\\e[31mred": 1'), "\\x1b[31mred: unknown key"),
    (("", "null: 1"), "null: unknown key, given 1"),
    (("", "5: 1"), "5: unknown key, given 1"),
    (("name: first", "name: 5"), "my.yaml:1: name: needs text (in quotes if it looks like a number), given 5"),
    (("name: first", "name: ../up"), "my.yaml:1: name: should match pattern"),
    (("name: first", "name: ''"), "name: should match pattern"),
    (("name: first\n", ""), "my.yaml: name: missing (name of the run folder); give --name=..."),
    (("  weights: random\n", ""), "my.yaml:2: model.weights: missing ('random'; 'small', which is shipped"),
    (("path: seeds", "pth: seeds"), "my.yaml:8: data.sources.0.pth: unknown key, given seeds; did you mean data.s"),
    (("path: seeds", "pth: seeds"), "my.yaml:8: data.sources.0.path: missing ('seeds', a file"),
    (("weight: 2", "weight: -2"), "my.yaml:10: data.sources.1.weight: should be greater than 0, given -2"),
    (("weight: 2", "columns: [a]"), "my.yaml:10: data.sources.1.columns: needs a mapping, {a: b}, given [a]"),
    (("weight: 2", "columns: {output: 3}"), "data.sources.1.columns.output: needs text"),
    (("weight: 2", "columns: {answer: a}"), "data.sources.1: columns: unknown field 'answer'; the fields are id,"),
    (("weight: 2", "<<: {weight: 2}"), "my.yaml:10: data.sources.1.<<: unknown key"),
    (("    - path: seeds\n    - path: more.jsonl\n      weight: 2", "    []"), "0 given, at least 1 is needed: []"),
    (("    - path: seeds\n", "    - seeds\n"), "my.yaml:8: data.sources.0: needs a section with path"),
    (("length: 256", "length: 4096"), "data.length 4096 is beyond model.shape.max_position_embeddings 2048"),
    (("steps: 10", "steps: 10\n  epochs: 1"), "my.yaml:12: training: give either epochs or steps"),
    (("steps: 10", "batch_rows: 7"), "my.yaml:12: training: give either epochs or steps"),
    (("tokenizer: {path: tiny}\n", ""), "'random' has no tokenizer of its own"),
    (("hidden_size: 64", "hidden_size: 63"), "my.yaml:4: model.shape: hidden_size 63 is no multiple of"),
    (("num_hidden_layers: 2", "num_layers: 2"), "model.shape.num_layers: unknown key, given 2; did you mean model"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"), IN_THE_FILE, ids=[re.sub(r"\W+", "_", one[1])[:60] for one in IN_THE_FILE]
)
def test_bad_values_in_a_file(file, change, expected):
    old, new = change
    text = FILE.replace(old, new, 1) if old and old in FILE else f"{new}\n{FILE}"
    assert expected in problems(file, text=text)


ON_THE_COMMAND_LINE = [
    ("--sead=3", "--sead: unknown key; did you mean --seed?"),
    ("--learning_rate=3", "--learning_rate: unknown key; did you mean --optimizer.learning_rate?"),
    ("--optimiser.learning_rate=3", "did you mean --optimizer.learning_rate?"),
    ("--training.batch-rowz=3", "did you mean --training.batch_rows?"),
    ("--preveiw=3", "did you mean --preview?"),
    ("--preview=x", "--preview: needs a whole number, given x"),
    ("--data.sources.0.pth=a", "--data.sources.0.pth: unknown key; did you mean --data.sources.0.path?"),
    ("--data.sources.path=a", "--data.sources.path: unknown key; did you mean --data.sources.N.path?"),
    ("--data.sources.-1.path=a", "--data.sources.-1.path: unknown key"),
    ("--data.sources.7.path=a", "data.sources has 2 items, so the next is data.sources.2"),
    ("--seed.x=1", "--seed.x: seed is one value and has no keys below it"),
    ("--model..weights=1", "--model..weights: unknown key"),
    ("--=1", "options are written --key=value"),
    ("--", "options are written --key=value"),
    ("-seed=1", "-seed=1: options are written --key=value"),
    ("--seed", "--seed: needs a value, --seed=..."),
    ("--seed=", "--seed: needs a whole number, given null"),
    ("--seed=[", "--seed: '[' is no YAML value"),
    ("--seed=1\n--- \n2", "is no YAML value"),
    ("--seed=!!python/name:os.system", "no place in settings"),
    ("--lora.rank=1e1", "--lora.rank: needs a whole number, given 10.0"),
    ("--model.shape=3", "--model.shape: needs a section with vocab_size"),
    ("--data.sources={path: a}", "--data.sources: needs a list"),
    ("--data.sources=[{pth: a}]", "--data.sources: data.sources.0.pth: unknown key"),
    ("--mesh.fsdp=-2", "--mesh.fsdp: mesh: data, fsdp, tensor = (1, -2, 1)"),
    ("--training.steps=null", "--training.steps: training: give either epochs or steps"),
    ("--data.length=9999", "my.yaml with the command line: data.length 9999 is beyond"),
    ("--name=\udcff", "--name: should be a valid string"),
    ("seed=1", "seed=1: no such file; a value is set with --seed=1"),
    ("llama2_7", "llama2_7: no such settings file; did you mean llama2_7b?"),
    ("nothing/here.yaml", "no such settings file; shipped ones are demo, llama1_13b"),
    ("", "is no path"),
    ("gopher://x/y.yaml", "unknown protocol"),
    (".", ".: no such settings file"),
]


@pytest.mark.parametrize(("word", "expected"), ON_THE_COMMAND_LINE, ids=[ascii(one[0]) for one in ON_THE_COMMAND_LINE])
def test_bad_command_lines(file, word, expected):
    assert expected in problems(file, word)


BAD_FILES = [
    (b"", "my.yaml: no settings in it"),
    (b"# only a comment\n", "my.yaml: no settings in it"),
    (b"- a\n", "my.yaml:1: holds [a] and no keys"),
    (b"just text\n", "my.yaml:1: holds just text and no keys"),
    (b"name: a\nname: b\n", "my.yaml:2: not valid settings YAML: key 'name' stands twice, first on line 1"),
    (b"name: [a\n", "my.yaml:2: not valid settings YAML"),
    (b"name: a\n\tseed: 1\n", "my.yaml:2: not valid settings YAML"),
    (b"name: \xff\n", "my.yaml: not UTF-8 text: byte 6 is 0xff"),
    (FILE.encode("utf-16"), "my.yaml: not UTF-8 text: byte 0 is 0xff"),
    (b"name: a\x00\n", "my.yaml:1: not valid settings YAML: character '\\x00'"),
    (b"{" * 3000, "nested more than"),
    (b"PK\x03\x04\x00\x00", "not valid settings YAML"),
]


@pytest.mark.parametrize(("text", "expected"), BAD_FILES, ids=[ascii(one[0])[:20] for one in BAD_FILES])
def test_bad_files(file, text, expected):
    assert expected in problems(file, text=text)


def test_all_problems_at_once(file):
    found = problems(
        file,
        "--sead=1",
        "--lora.rank=x",
        "--preview=-1",
        text=FILE.replace("path: seeds", "pth: seeds").replace("length: 256", "lenght: 256"),
    )
    assert found.splitlines()[0] == "6 problems with the settings:"
    for part in ("--sead", "--lora.rank", "--preview", "sources.0.pth", "sources.0.path: missing", "data.lenght"):
        assert part in found


def test_files_that_cannot_be_read(file, tmp_path):
    assert "one settings file at most, given a.yaml, b.yaml" in problems(file, "a.yaml", "b.yaml")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(FILE)
    assert f"is a run folder; train goes on with {tmp_path / 'run' / 'config.yaml'}" in problems(
        file, str(tmp_path / "run")
    )
    if os.geteuid():
        file.chmod(0)
        assert "cannot be read" in problems(file)


def test_long_values_are_cut(file):
    assert len(problems(file, f"--seed={'x' * 5000}")) < 300


OPTIONS = st.builds(
    "--{}={}".format, st.sampled_from([key.name.replace(".N", ".0") for key in schema.keys(Train)]), st.text()
)
WORDS = OPTIONS | st.text(max_size=20) | st.text("-=.[]{}:a1sed", max_size=20).map("--{}".format)


@hypothesis_settings(max_examples=300)
@given(st.lists(WORDS, max_size=4))
def test_any_command_line_is_read_or_refused(argv):
    # Mutation: without `except yaml.reader.ReaderError` in yaml12.read, a control character ends in a traceback
    if any(word in ("-h", "--help") for word in argv):
        return
    try:
        load(resource("configs", "llama2_7b.yaml"), *argv)
    except SettingsError as error:
        assert "".join(str(error).split("\n  ")).isprintable()  # noqa: PT017


@hypothesis_settings(max_examples=200)
@given(st.data())
def test_a_changed_character_is_read_or_refused(data):
    place = data.draw(st.integers(0, len(FILE) - 1))
    text = FILE[:place] + data.draw(st.text(max_size=3)) + FILE[place + data.draw(st.integers(0, 3)) :]
    try:
        settings.loads(text, job=Train, where="my.yaml")
    except SettingsError as error:
        assert "my.yaml" in str(error)  # noqa: PT017


# ------------------------------------------------------------------ what is written

TEXT = st.text(min_size=1, max_size=20)
JOBS = st.builds(
    Train,
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,10}", fullmatch=True),
    runs_dir=TEXT,
    seed=st.integers(0, 2**31 - 1),
    model=st.builds(
        Model,
        weights=TEXT.filter(lambda text: text != "random"),
        revision=st.none() | TEXT,
        shape=st.none()
        | st.just(Shape(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)),
    ),
    tokenizer=st.builds(Tokenizer, path=st.none() | TEXT, train_vocab_size=st.none()),
    data=st.builds(
        Data,
        sources=st.lists(
            st.builds(
                Source,
                path=TEXT,
                format=st.just("auto"),
                weight=st.floats(1e-300, 1e300),
                categories=st.lists(TEXT, max_size=3),
                columns=st.dictionaries(st.sampled_from(["input", "output", "id"]), TEXT),
            ),
            min_size=1,
            max_size=3,
        ).map(tuple),
        length=st.integers(8, 2048),
        held_out=st.floats(0, 0.5),
    ),
    optimizer=st.builds(Optimizer, learning_rate=st.floats(1e-300, 1e300), clip_norm=st.none() | st.just(0.5)),
    training=st.builds(Training, epochs=st.floats(0.1, 100), steps=st.none()),
)


@hypothesis_settings(max_examples=150)
@given(JOBS)
def test_dump_is_read_back_equal(job):
    # Mutation: without the double quotes of yaml12._text, a path that is U+0085 comes back as a space
    text = settings.dump(job)
    again = settings.loads(text, job=Train, where="config.yaml")
    assert again == job
    assert settings.dump(again) == text
    assert settings.changes(job, again) == []


def test_dump_is_the_same_for_equal_objects():
    one, other = (
        Source(path="a", columns=columns) for columns in ({"input": "x", "id": "y"}, {"id": "y", "input": "x"})
    )
    assert one == other
    assert settings.dump(one) == settings.dump(other)


def test_dump_of_a_small_section():
    assert settings.dump(Lora(rank=4, targets=("q_proj",))) == (
        "rank: 4\nalpha: 32.0\ndropout: 0.0\nrslora: false\ntargets:\n- q_proj\nstart: null\n"
    )


def test_changes(file):
    old, _ = load(file)
    new, _ = load(
        file,
        "--optimizer.learning_rate=1e-4",
        "--model.shape.rope_scaling={rope_type: linear, factor: 2}",
        "--data.sources=[{path: seeds}]",
        "--lora.targets=[q_proj]",
        "--model.revision=main",
    )
    assert settings.changes(old, new)[:3] == [
        "model.revision: null -> main",
        "model.shape.rope_scaling: null -> {rope_type: linear, factor: 2.0, low_freq_factor: null, "
        "high_freq_factor: null, original_max_position_embeddings: null}",
        "lora.targets.1: k_proj -> nothing",
    ]
    assert settings.changes(old, new)[-1] == "optimizer.learning_rate: 0.0002 -> 0.0001"
    assert any(line.startswith("data.sources.1: {path: more.jsonl") for line in settings.changes(old, new))
    assert settings.changes(old, old) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FILE, True),
        (FILE + "newer: 1\n", True),
        ("name: [", True),
        ("", True),
        ("out: rows\nsources: []\nseed: 0\n", False),
        ("name: mine\nlr: 1.0\n", False),
    ],
)
def test_whose_settings_a_file_holds(text, expected):
    # Mutation: one key in common, or half of them, taken for enough; a damaged file, or one of a newer version, not.
    assert settings.holds(text, Train) is expected


@config.config
class Copy:
    folder: Annotated[str, Field(description="what to copy")]
    dry_run: Annotated[config.Flag, Field(description="only say it")] = False


def test_a_verb_without_a_file_a_bare_flag_and_a_dash():
    # Mutation: a bare flag taken for any type makes "--folder" the text true.
    verb = Verb("copy", "Copies.", ())
    assert settings.load(["--folder", "a", "--dry-run"], verb, Copy, settings.NoExtras)[0] == Copy(
        folder="a", dry_run=True
    )
    assert settings.load(["--dry-run=false", "--folder=-a"], verb, Copy, settings.NoExtras)[0] == Copy(folder="-a")
    with pytest.raises(SettingsError, match="command line: folder: missing"):
        settings.load(["--dry_run"], verb, Copy, settings.NoExtras)
    with pytest.raises(SettingsError, match="--folder: needs a value"):
        settings.load(["--folder"], verb, Copy, settings.NoExtras)
