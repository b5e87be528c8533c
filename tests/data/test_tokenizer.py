import copy
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.data import tokenizer as module
from bioinstruct_jax.data.tokenizer import control_tokens, fingerprint, from_json, load, main, token_id, train

TEXTS = ["The patient was given 2.5 mg of warfarin.", "No dyspnoea; temperature 38.9 °C."] * 3


@pytest.fixture(scope="module")
def small():
    return train(TEXTS, 300)


@settings(max_examples=150)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_every_text_survives(text):
    # Mutation: add_prefix_space=True; no initial_alphabet
    small = train(TEXTS, 300)
    ids = small.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert small.decode(ids) == text


def test_what_is_saved_is_what_transformers_loads(small, tmp_path):
    small.save_pretrained(tmp_path)
    loaded = load(str(tmp_path))
    assert fingerprint(loaded) == fingerprint(small)
    assert (loaded.bos_token_id, loaded.eos_token_id, loaded.unk_token, loaded.pad_token) == (0, 1, None, None)
    assert len(loaded) == len(loaded.get_vocab()) <= 300
    assert loaded.encode(TEXTS[0]) == small.encode(TEXTS[0])


def test_the_same_texts_give_the_same_tokenizer_whatever_the_hash_seed():
    # Mutation: train on list(set(texts))[:2]
    script = (
        "from bioinstruct_jax.data.tokenizer import *;"
        "print(fingerprint(train(['fever and cough', 'cough or fever', 'no rash'] * 2, 290)))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(found) == 1


def test_a_vocabulary_without_room_for_bytes_is_an_error():
    with pytest.raises(ValueError, match="a vocabulary of 257: 258 is the least"):
        train([], 257)


def test_no_text_gives_a_tokenizer_of_bytes():
    assert len(train([], 300)) == 258


def test_the_fingerprint_is_of_the_tokenizer_alone(small):
    # Mutation: definition() without padding=None; special_tokens_map left out
    used = copy.deepcopy(small)
    used.pad_token = "</s>"
    named = fingerprint(used)
    used(TEXTS, truncation=True, max_length=4, padding="max_length")
    assert fingerprint(used) == named != fingerprint(small)
    assert fingerprint(from_json(small.backend_tokenizer.to_str())) == fingerprint(small)
    assert fingerprint(train(TEXTS, 301)) != fingerprint(small)


def test_control_tokens_are_the_special_and_the_markup(llama3):
    # Mutation: only all_special_tokens
    names = set(control_tokens(llama3))
    assert {"<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<think>"} <= names
    assert "pembrolizumab" not in names
    assert control_tokens(llama3)["<think>"] == token_id("<think>", llama3)


def test_a_token_that_is_not_there_is_named(small):
    with pytest.raises(ValueError, match=r"token '<\|eot_id\|>' is not in the tokenizer's vocabulary of"):
        token_id("<|eot_id|>", small)


def edited(small, folder, **changed):
    small.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    settings = {key: value for key, value in (json.loads(file.read_text()) | changed).items() if value is not None}
    file.write_text(json.dumps(settings))
    return str(folder)


def test_no_eos_is_an_error(small, tmp_path):
    with pytest.raises(ValueError, match="has no EOS token"):
        load(edited(small, tmp_path, eos_token=None))


def test_code_in_a_folder_is_neither_run_nor_asked_about(small, tmp_path):
    # lm-eval#3942. Mutation: trust_remote_code=True
    path = edited(small, tmp_path, tokenizer_class="Mine", auto_map={"AutoTokenizer": ["mine.Mine", "mine.Mine"]})
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Mine: pass\n")
    try:
        load(path)
    except ValueError as error:
        assert "cannot be loaded" in str(error)  # noqa: PT017
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("path", ["/no/such/folder", "./no-such-folder", "~/no-such-folder", "a/b/c"])
def test_a_folder_that_is_not_there_is_named(path):
    with pytest.raises(ValueError, match=f"tokenizer '{path}': there is no such folder"):
        load(path)


@pytest.mark.parametrize("content", [None, "", "{", '{"version": "1.0"}'])
def test_a_folder_without_a_tokenizer_is_an_error_of_one_line(content, tmp_path):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ValueError, match="cannot be loaded") as caught:
        load(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_bucket_is_fetched(small, tmp_path):
    small.save_pretrained(tmp_path)
    for file in tmp_path.iterdir():
        (module.files.path("memory://base") / file.name).write_bytes(file.read_bytes())
    assert fingerprint(load("memory://base")) == fingerprint(small)
    with pytest.raises(ValueError, match=r"no tokenizer\.json there"):
        load("memory://nothing")


def test_the_command_trains_on_a_source(tmp_path, capsys):
    source = tmp_path / "rows.jsonl"
    source.write_text(
        "".join(json.dumps({"q": f"Is there fever on day {n}?", "a": "Not stated."}) + "\n" for n in "123")
    )
    out = tmp_path / "out"
    columns = "instruction=q,output=a"
    main(["--source", str(source), "--columns", columns, "--vocab-size", "320", "--out", str(out)])
    assert "from 3 records (0 bad rows left out)" in capsys.readouterr().out
    loaded = load(str(out))
    assert len(loaded) == 320
    assert len(loaded.encode("### Instruction:")) < 8


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--source", "/no/such/file.jsonl"], "/no/such/file.jsonl"),
        (["--columns", "instruction=q,nonsense"], "nonsense"),
        (["--columns", "question=q"], "unknown field 'question'"),
        (["--vocab-size", "12"], "258 is the least"),
    ],
)
def test_the_command_says_what_is_wrong(changed, message, tmp_path):
    source = tmp_path / "rows.jsonl"
    source.write_text('{"instruction": "Is there fever?", "output": "Yes."}\n')
    arguments = ["--source", str(source), "--vocab-size", "300", "--out", str(tmp_path / "out"), *changed]
    with pytest.raises(SystemExit, match=message):
        main(arguments)
    assert not (tmp_path / "out").exists()
