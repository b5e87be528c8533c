"""The verb: real models and tokenizers, instructions through pipes and at pseudo-terminals."""

import io
import json
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bioinstruct_jax import chat, train
from bioinstruct_jax.data import prompts, tokenizer
from bioinstruct_jax.data.records import Record, from_messages
from bioinstruct_jax.data.tokens import encode, encode_pieces, encode_prompt
from bioinstruct_jax.evaluation.language_model import CompletionRequest, TooLong
from bioinstruct_jax.inference.jax_language_model import JaxLanguageModel
from bioinstruct_jax.inference.load import load
from tests.interop.llama_pairs import reference
from tests.interop.merged_pairs import save_adapter, save_base, words

JINJA = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] | trim }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def _save(folder: Path, template: str | None, *, jinja: str | None = None, context: int = 512) -> Path:
    """A model with random weights that says which template it was trained with."""
    spoken = words() if template == "llama3" else tokenizer.load("tiny")
    reference(0, vocab_size=len(spoken), num_key_value_heads=2, max_position_embeddings=context).save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    spoken.save_pretrained(folder)
    if jinja:
        (folder / "chat_template.jinja").write_text(jinja)
    if template:
        record = prompts.template(template, tokenizer.load(str(folder))).record()
        (folder / "prompt_template.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module", params=["alpaca", "medtuned", "llama2", "llama3", "tokenizer"])
def model(request, tmp_path_factory) -> tuple[str, Path]:
    """A template, and a model that was trained with it."""
    name = request.param
    return name, _save(tmp_path_factory.mktemp(name) / "model", name, jinja=JINJA if name == "tokenizer" else None)


@pytest.fixture(scope="module")
def llama2(tmp_path_factory) -> Path:
    return _save(tmp_path_factory.mktemp("llama2") / "model", "llama2")


@pytest.fixture(scope="module")
def alpaca(tmp_path_factory) -> Path:
    return _save(tmp_path_factory.mktemp("alpaca") / "model", "alpaca")


@pytest.fixture
def asked(monkeypatch) -> list:
    """Each request that reached the model, with its result."""
    seen: list = []
    real = JaxLanguageModel.complete

    def complete(self, requests, on_result=None, on_text=None):
        results = real(self, requests, on_result, on_text)
        seen.extend(zip(requests, results, strict=True))
        return results

    monkeypatch.setattr(JaxLanguageModel, "complete", complete)
    return seen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _chat(monkeypatch, text: str, *options: object, interactive: bool = False) -> int:
    monkeypatch.setattr(sys, "stdin", Terminal(text) if interactive else io.StringIO(text))
    return chat.main([str(option) for option in options])


# -------------------------------------------------------------------- what reaches the model


@pytest.mark.slow
def test_prompts_are_those_of_training_and_the_text_is_the_models(model, asked, monkeypatch, capsys):
    # The prompt is the beginning of the training example that the data readers make of the same conversation, token for
    # token. Mutations: `input` not put into the history; history forgotten, or kept after /new; the answer stripped of
    # its last letter; the system text left out; `on_text` writes a piece twice.
    name, folder = model
    remembers = name not in ("alpaca", "medtuned")
    system = "Answer as a pharmacist. </s>" if remembers else ""
    text = (
        "Name the drug </s> class.\n\n/input 2.5 mg  of\\\nwarfarin \nList every drug.\n And the dose? \n/new\nAgain?\n"
    )
    code = _chat(
        monkeypatch, text, f"--model={folder}", "--max_tokens=6", *([f"--system={system}"] if remembers else [])
    )
    captured = capsys.readouterr()
    assert code == 0, captured.err
    questions = [
        ("Name the drug </s> class.", ""),
        ("List every drug.", "2.5 mg  of\nwarfarin"),
        ("And the dose?", ""),
        ("Again?", ""),
    ]
    assert len(asked) == len(questions)
    assert captured.out == "".join(result.text + "\n" * (not result.text.endswith("\n")) for _, result in asked)
    spoken = tokenizer.load(str(folder))
    template = prompts.template(name, spoken)
    said: list[dict] = [{"role": "system", "content": system}] if system else []
    first = len(said)
    for (instruction, more), (request, result) in zip(questions, asked, strict=True):
        row = {"instruction": instruction, "input": more, "output": "x"}
        record = Record("", **row)
        if remembers:
            content = f"{instruction}\n\n{more}" if more else instruction
            if instruction == "Again?":
                said = said[:first]
            turns = [*said, {"role": "user", "content": content}, {"role": "assistant", "content": "x"}]
            record = from_messages({"messages": turns}, {}, default_id="", source="")
            said = [*turns[:-1], {"role": "assistant", "content": result.text}]
        example = encode(record, template, spoken)
        prompt = int(example.weights.argmax())
        ids = encode_prompt(record, template, spoken).tolist()
        assert ids == example.tokens[:prompt].tolist()
        assert [*_ids(request, spoken, template)] == ids
        assert result.prompt_tokens == len(ids)
        assert request.stop_tokens == (template.end,)
    assert "warning" not in captured.err
    assert f"template {name}" in captured.err


def _ids(request: CompletionRequest, spoken, template) -> list[int]:
    return encode_pieces([request.prompt], template.bos, spoken)[0][0].tolist()


def test_an_answer_is_what_the_model_completes_without_an_audience(alpaca, monkeypatch, capsys):
    # Mutation: an option that does not reach the request; the seed not counted on.
    options = {"temperature": 0.9, "top_k": 50, "top_p": 0.95, "repetition_penalty": 8.0, "max_tokens": 24}
    words_ = [f"--{name}={value}" for name, value in options.items()]
    assert _chat(monkeypatch, "One?\nOne?\n", f"--model={alpaca}", "--seed=4294967295", *words_) == 0
    out = capsys.readouterr().out
    loaded = load(str(alpaca), slots=1)
    template = loaded.words.template
    pieces = tuple(prompts.render(Record("", "One?", "", ""), template, with_answer=False))
    requests = [CompletionRequest(pieces, stop_tokens=(template.end,), seed=seed, **options) for seed in (2**32 - 1, 0)]
    first, second = (result.text for result in loaded.language_model.complete(requests))
    assert first != second
    assert out == f"{first}\n{second}\n"


def test_the_templates_end_token_ends_an_answer(tmp_path, monkeypatch, capsys):
    # A model of another template is asked in llama3, which ends an answer with <|eot_id|>: no EOS of this tokenizer. It
    # comes where another token stood. Mutation: `stop_tokens` left out.
    folder = _save(tmp_path / "model", "llama3")
    spoken = tokenizer.load(str(folder))
    (folder / "prompt_template.json").write_text(json.dumps(prompts.template("alpaca", spoken).record()))
    ids = _greedy(folder, "llama3", "Go.", 12)
    place = next(i for i in range(2, 12) if ids[i] not in ids[:i])
    _exchange(folder, ids[place], "<|eot_id|>")
    assert _chat(monkeypatch, "Go.\n", f"--model={folder}", "--max_tokens=40", "--template=llama3") == 0
    captured = capsys.readouterr()
    assert captured.out == spoken.decode(ids[:place], skip_special_tokens=True) + "\n"
    assert "stopped" not in captured.err


def _torch(folder: Path):
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def _greedy(folder: Path, template: str, instruction: str, count: int) -> list[int]:
    """The tokens that transformers writes after an instruction."""
    spoken = tokenizer.load(str(folder))
    ids = encode_prompt(Record("", instruction, "", ""), prompts.template(template, spoken), spoken).tolist()
    with torch.no_grad():
        out = _torch(folder).generate(
            torch.tensor([ids]), max_new_tokens=count, min_new_tokens=count, do_sample=False, eos_token_id=None
        )
    return out[0, len(ids) :].tolist()


def _exchange(folder: Path, token: int, name: str) -> None:
    """Let the model write the token called `name` where it would have written `token`, and the other way round."""
    other = tokenizer.token_id(name, tokenizer.load(str(folder)))
    model = _torch(folder)
    with torch.no_grad():
        model.lm_head.weight[[other, token]] = model.lm_head.weight[[token, other]]
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def test_an_adapter_in_its_own_template(tmp_path, asked, monkeypatch, capsys):
    # Mutation: the adapter not handed to `load`.
    save_base(tmp_path / "base")
    save_adapter(tmp_path / "adapter", tmp_path / "base", template="llama2")
    assert _chat(monkeypatch, "One?\n", f"--adapter={tmp_path / 'adapter'}", "--max_tokens=8") == 0
    captured = capsys.readouterr()
    assert "template llama2" in captured.err
    assert str(tmp_path / "adapter") in captured.err
    assert _chat(monkeypatch, "One?\n", f"--model={tmp_path / 'base'}", "--template=llama2", "--max_tokens=8") == 0
    plain = capsys.readouterr()
    assert asked[0][0] == asked[1][0]
    assert plain.out != captured.out
    adapter = f"--adapter={tmp_path / 'adapter'}"
    assert _chat(monkeypatch, "One?\n", f"--model={tmp_path / 'base'}", adapter, "--max_tokens=8") == 0
    assert capsys.readouterr().out == captured.out


# -------------------------------------------------------------------- which template, which model


def test_a_template_other_than_that_of_the_training_is_said(alpaca, llama2, tmp_path, monkeypatch, capsys):
    # Mutations: no warning; --template read after the recorded one; the hash not compared.
    def warnings(folder: Path, *options: str) -> str:
        assert _chat(monkeypatch, "", f"--model={folder}", *options) == 0
        return "\n".join(
            line for line in capsys.readouterr().err.splitlines() if re.match("warning|.*: template", line)
        )

    assert "warning" not in warnings(alpaca, "--template=alpaca")
    assert re.search(
        r": template llama2, (.|\n)*warning: .*with the template alpaca; with llama2,",
        warnings(alpaca, "--template=llama2"),
    )
    changed = _save(tmp_path / "changed", "llama2")
    record = json.loads((changed / "prompt_template.json").read_text())
    (changed / "prompt_template.json").write_text(json.dumps(record | {"hash": "0" * 64}))
    assert re.search(r"template llama2, (.|\n)*warning: the hash in prompt_template", warnings(changed))
    nothing = _save(tmp_path / "nothing", None)
    assert re.search(r"template alpaca, (.|\n)*warning: no prompt_template.json", warnings(nothing))
    assert "warning" not in warnings(nothing, "--template=medtuned")
    own = _save(tmp_path / "own", None, jinja=JINJA)
    assert re.search(r"template tokenizer, (.|\n)*the tokenizer's own", warnings(own))
    unusable = _save(tmp_path / "unusable", None, jinja="{% for m in messages %}{{ m['content'] }}{% endfor %}")
    assert re.search(r"template alpaca, (.|\n)*since the tokenizer's chat template", warnings(unusable))


def test_a_context_beyond_the_models_own_is_said(alpaca, monkeypatch, capsys):
    assert _chat(monkeypatch, "", f"--model={alpaca}", "--context=9000", "--dtype=bfloat16") == 0
    error = capsys.readouterr().err
    assert "bfloat16, context of 9000 tokens" in error
    assert "warning: a context of 9000 tokens is more than the 512" in error


SMALL = [
    *("tiny", "--model.shape.hidden_size=32", "--model.shape.intermediate_size=48", "--data.template=llama2"),
    *("--model.shape.num_hidden_layers=1", "--training.steps=1", "--optimizer.warmup_steps=0", "--data.held_out=0"),
    *("--training.eval_every=0", "--training.batch_rows=8", "--data.length=256"),
]


@pytest.mark.slow
def test_the_run_folders_of_train(tmp_path, monkeypatch, capsys):
    # Mutations: a fully tuned run without prompt_template.json; `locate.whole_model` that returns what it was given.
    more = [f"--runs_dir={tmp_path}", f"--data.cache_dir={tmp_path / 'cache'}"]
    assert train.main([*SMALL, *more, "--name=part"]) == 0
    assert train.main([*SMALL, *more, "--name=whole", "--trainable=all"]) == 0
    capsys.readouterr()
    meaningless = "what it writes means nothing"
    for option, random in ((f"--adapter={tmp_path / 'part'}", True), (f"--model={tmp_path / 'whole'}", False)):
        assert _chat(monkeypatch, "One?\n", option, "--max_tokens=4") == 0
        captured = capsys.readouterr()
        assert ": template llama2, float32, context of 1024" in captured.err
        assert "warning" not in captured.err
        assert (meaningless in captured.err) == random
        assert "Not for clinical use." in captured.err
    assert _chat(monkeypatch, "", f"--model={tmp_path / 'whole' / 'model'}") == 0
    (tmp_path / "part" / "config.yaml").write_text("{")
    assert _chat(monkeypatch, "", f"--adapter={tmp_path / 'part'}") == 0
    assert meaningless not in capsys.readouterr().err
    (tmp_path / "part" / "base" / "config.json").unlink()
    for name, said in (("part", f"give --adapter={tmp_path / 'part'}"), ("new", "has no model/ yet; go on with")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "config.yaml").write_text("name: new\n")
        assert _chat(monkeypatch, "", f"--model={tmp_path / name}") == 2
        assert said in capsys.readouterr().err


# -------------------------------------------------------------------- at the prompt


def test_commands(llama2, asked, monkeypatch, capsys):
    # Mutations: /input kept after its instruction; a blank before the slash not heeded; an unknown command answered.
    text = "/help\n/input one\n/input\nA?\n /quit?\n/new\n/gibberish\n/new now\n\n   \n/quit\nnever\n"
    options = (f"--model={llama2}", "--max_tokens=3")
    assert _chat(monkeypatch, text, *options, interactive=True) == 0
    captured = capsys.readouterr()
    assert [request.prompt[-1].text for request, _ in asked] == ["[INST] A? [/INST]", "[INST] /quit? [/INST]"]
    assert "/input TEXT" in captured.err
    assert "[the next instruction is about these 3 characters]\n> [no input]" in captured.err
    assert "[forgotten: 2 turns]" in captured.err
    assert "unknown command '/gibberish'; /help" in captured.err
    assert "unknown command '/new now'" in captured.err
    assert captured.out == "".join(result.text + "\n" for _, result in asked)
    assert captured.err.count("[stopped after 3 tokens; --max_tokens=3]") == 2
    asked.clear()
    assert _chat(monkeypatch, "/input one\\\ntwo\nA\\\n\\\nB?\n/quit", *options) == 0
    assert asked[0][0].prompt[-1].text == "[INST] A\n\nB?\n\none\ntwo [/INST]"
    assert _chat(monkeypatch, "/gibberish\nA?\n", *options) == 1  # a script must learn of it
    assert "> " not in capsys.readouterr().err
    asked.clear()
    assert _chat(monkeypatch, "A?\\\nB?\\", *options) == 0  # the end of input ends an instruction too
    assert asked[0][0].prompt[-1].text == "[INST] A?\nB? [/INST]"


def test_a_conversation_that_no_longer_fits_is_said_and_nothing_is_dropped(llama2, asked, monkeypatch, capsys):
    # Mutations: the oldest turn dropped; the input forgotten where there was no answer; the exit code of a pipe lost.
    text = "/input " + "dose " * 20 + "\nHow much is it?\n" + "Tell me more. " * 8 + "\n/new\nAnd now?\n"
    options = (f"--model={llama2}", "--max_tokens=12", "--context=64")
    assert _chat(monkeypatch, text, *options, interactive=True) == 0
    captured = capsys.readouterr()
    long = next(result for _, result in asked if isinstance(result, TooLong))
    said = f"the prompt has {long.tokens} tokens, the context 64; nothing was cut; /new forgets the earlier turns"
    assert said in captured.err
    assert [type(result).__name__ for _, result in asked] == ["Completion", "TooLong", "Completion"]
    assert len(asked[1][0].prompt) == 5  # both turns: BOS, question and answer, EOS, BOS, question
    assert "[stopped after" in captured.err
    asked.clear()
    text = "/input " + "dose " * 90 + "\nHow much?\nHow much?\n/input\nShort?\n"
    assert _chat(monkeypatch, text, *options) == 1
    assert captured.out
    captured = capsys.readouterr()
    for line in (2, 3):
        assert re.search(rf"error: line {line}: the prompt has .*; shorten it, or the input \(/input\)", captured.err)
    assert captured.out == asked[2][1].text + "\n"


def test_a_full_context_is_said(llama2, asked, monkeypatch, capsys):
    assert _chat(monkeypatch, "Short?\n", f"--model={llama2}", "--max_tokens=400", "--context=40") == 0
    ((_, result),) = asked
    assert result.finish == "context"
    assert f"[stopped after {result.tokens} tokens: the context is full; /new begins anew]" in capsys.readouterr().err


def test_what_is_no_text_has_no_answer_and_the_rest_goes_on(alpaca, monkeypatch, capsys):
    # Mutation: ValueError not caught for each instruction.
    assert _chat(monkeypatch, "half \ud800\nWhole?\n", f"--model={alpaca}", "--max_tokens=2") == 1
    captured = capsys.readouterr()
    assert "surrogate" in captured.err
    assert captured.out.endswith("\n")
    assert len(captured.out) > 1


def test_a_line_in_another_encoding_is_named_and_the_rest_goes_on(alpaca, asked, monkeypatch, capsys):
    # Mutations: half of a surrogate pair told, without line or encoding; the seed of later answers moved by the line;
    # an input that is no text taken; a line for what has no answer, which a prompt that is too long has not either; of
    # a text of several lines the first told.
    given = "One?\nCafé?\nA\\\ncafé?\nThree?\n".encode("latin-1")
    options = (f"--model={alpaca}", "--max_tokens=3", "--temperature=1")
    for errors in ("strict", "surrogateescape"):
        asked.clear()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), encoding="utf-8", errors=errors))
        assert chat.main([*options]) == 1
        captured = capsys.readouterr()
        said = [line for line in captured.err.splitlines() if line.startswith("error: ")]
        assert said == [
            "error: line 2: byte 4 is 0xe9, which is not UTF-8; write it as UTF-8",
            "error: line 4: byte 4 is 0xe9, which is not UTF-8; write it as UTF-8",
        ]
        assert [request.seed for request, _ in asked] == [0, 3]
        assert captured.out == "".join(result.text + "\n" * (not result.text.endswith("\n")) for _, result in asked)


@pytest.mark.parametrize("interactive", [False, True])
def test_after_an_input_that_cannot_be_read_nothing_is_answered_without_it(
    llama2, asked, monkeypatch, capsys, interactive
):
    # Mutations: the instruction answered about nothing, or about the input before; answers refused for ever; /help, an
    # unknown command, or the refused instruction itself taken for what ends it.
    given = "/input one\n/input Café\n/help\n/new now\nA?\nB?\n/input two\nC?\n"
    given += "/input Café\nD?\n/input\nE?\n/input é\n/new\nF?\n"
    stream = io.TextIOWrapper(io.BytesIO(given.encode("latin-1")), encoding="utf-8", errors="surrogateescape")
    stream.isatty = lambda: interactive  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", stream)
    assert chat.main([f"--model={llama2}", "--max_tokens=2"]) == (not interactive)
    prompts = [request.prompt[-1].text for request, _ in asked]
    assert prompts == ["[INST] C?\n\ntwo [/INST]", "[INST] E? [/INST]", "[INST] F? [/INST]"]
    told = re.findall(r"error: (?:line (\d+): )?not answered, for the /input (.*) could", capsys.readouterr().err)
    lines = [("5", "of line 2"), ("6", "of line 2"), ("10", "of line 9")]
    assert told == ([("", "before it")] * 3 if interactive else lines)


# -------------------------------------------------------------------- other processes

ONE_DEVICE = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=1"  # the last holds
ENVIRONMENT = {**os.environ, "XLA_FLAGS": ONE_DEVICE, "TERM": "xterm", "PYTHONUNBUFFERED": ""}


def _command(*options: object) -> list[str]:
    return [sys.executable, "-m", "bioinstruct_jax.chat", *map(str, options)]


def test_a_script_gets_the_answers_and_nothing_else(alpaca, asked, monkeypatch, capsys):
    # Mutation: the banner, a prompt or a note printed to standard output.
    options = (f"--model={alpaca}", "--max_tokens=5")
    assert _chat(monkeypatch, "What is it?\n\n/input µg\nAnd this?\n", *options) == 0
    wanted = capsys.readouterr().out
    done = subprocess.run(
        _command(*options),
        input="What is it?\r\n\r\n/input µg\r\nAnd this?".encode(),
        capture_output=True,
        timeout=120,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == wanted
    assert b"Not for clinical use." in done.stderr
    assert b"\x1b" not in done.stderr
    assert not {"> ", "/help"} & set(done.stderr.decode().splitlines())


@pytest.mark.slow
def test_a_reader_that_leaves_and_bytes_that_are_no_text(alpaca):
    # Mutations: BrokenPipeError not caught; UnicodeDecodeError shown as it is.
    shell = f"(echo One?; echo Two?) | {' '.join(_command(f'--model={alpaca}', '--max_tokens=200'))} | head -c 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, timeout=120, env=ENVIRONMENT)
    assert len(done.stdout) == 1
    assert b"Traceback" not in done.stderr
    assert b"Broken" not in done.stderr
    strict = {**ENVIRONMENT, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(_command(f"--model={alpaca}"), input=b"\xff\n", capture_output=True, timeout=120, env=strict)
    assert done.returncode == 1
    assert b"error: line 1: byte 1 is 0xff, which is not UTF-8; write it as UTF-8" in done.stderr
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr


class Pty:
    """The verb at a pseudo-terminal."""

    def __init__(self, *options: object) -> None:
        self.file, terminal = os.openpty()
        # A process of its own session that opens a terminal is controlled by it: then Ctrl-C reaches it as SIGINT.
        code = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
        self.child = subprocess.Popen(
            [sys.executable, "-c", code, *_command(*options)],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        os.close(terminal)
        self.seen = ""

    def until(self, pattern: str) -> str:
        """What is shown from the last match on to the next one of `pattern`."""
        end = time.monotonic() + 100
        while not (match := re.search(pattern, self.seen)):
            assert self.child.poll() is None, f"the chat ended with {self.child.returncode}: {self.seen}"
            assert time.monotonic() < end, self.seen
            self._read(1)
        shown, self.seen = self.seen[: match.end()], self.seen[match.end() :]
        return shown

    def _read(self, seconds: float) -> None:
        """Add what is shown within `seconds`."""
        if select.select([self.file], [], [], seconds)[0]:
            try:
                self.seen += os.read(self.file, 4096).decode(errors="replace")
            except OSError:  # the other end is closed
                time.sleep(0.05)

    def type(self, keys: str) -> None:
        os.write(self.file, keys.encode())

    def code(self, keys: str) -> int:
        """The exit code after `keys`; what is still shown is read, or the child could not end.

        They are typed again if nothing follows: between its prompt and its wait for a key, readline misses a signal.
        """
        end, again = time.monotonic() + 100, 0.0
        while self.child.poll() is None:
            assert time.monotonic() < end
            if time.monotonic() >= again and "\n" not in self.seen:
                self.type(keys)
                again = time.monotonic() + 5
            self._read(0.05)
        os.close(self.file)
        return self.child.returncode


@pytest.mark.slow
def test_at_a_terminal_ctrl_c_stops_an_answer_and_then_the_chat(tmp_path):
    # The real keys at a pseudo-terminal. Mutations: KeyboardInterrupt not caught while an answer is written; the answer
    # so far forgotten; caught at the prompt too; control characters shown as they are; no newline after an answer.
    folder = _save(tmp_path / "model", "llama2", context=8192)
    bell = chr(256 + 7)  # the byte 7 in a byte-level vocabulary
    _exchange(folder, _greedy(folder, "llama2", "Tell me all.", 1)[0], bell)
    terminal = Pty(f"--model={folder}", "--max_tokens=8000")
    shown = terminal.until(r"> ")
    assert "Not for clinical use." in shown
    assert "/help lists the commands" in shown
    terminal.type("Tell me all.\n")
    assert "Tell me all." in terminal.until(r"Tell me all\.\r\n")
    assert "\x07" not in terminal.until("\ufffd(.|\n)*\\w")
    terminal.type("\x03")
    shown = terminal.until(r"\[stopped; what is written stays in the conversation\](.|\n)*> ")
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x7f]", shown)
    terminal.type("/new\n")
    terminal.until(r"\[forgotten: 1 turns\](.|\n)*> ")
    terminal.type("Again\\\nand again?\n")
    terminal.until(r"\.\.\. and again\?\r\n")
    terminal.until(r"\w+.*\w+.*\w+")
    terminal.type("\x03")
    terminal.until(r"\[stopped(.|\n)*> ")
    assert terminal.code("\x03") == 130
    assert "Traceback" not in terminal.seen


def test_ctrl_d_ends_the_chat(alpaca):
    terminal = Pty(f"--model={alpaca}", "--max_tokens=4")
    assert "Each instruction is answered by itself." in terminal.until(r"> ")
    terminal.type("One?\n")
    terminal.until(r"\[stopped after 4 tokens; --max_tokens=4\](.|\n)*> ")
    assert terminal.code("\x04") == 0
    assert "Traceback" not in terminal.seen


def test_ctrl_c_without_a_terminal_ends_everything(alpaca, monkeypatch, capsys):
    # Mutation: stopped answers counted as answers in a pipe.
    def interrupted(self, requests, on_result=None, on_text=None):
        on_text(0, "half an ans")
        raise KeyboardInterrupt

    monkeypatch.setattr(JaxLanguageModel, "complete", interrupted)
    assert _chat(monkeypatch, "One?\nTwo?\n", f"--model={alpaca}") == 130
    assert capsys.readouterr().out == "half an ans\n"


# -------------------------------------------------------------------- what cannot be used


def _without(folder: Path, pattern: str) -> None:
    for file in folder.glob(pattern):
        file.unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: _without(folder, "tokenizer*"), "no tokenizer there"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "cannot be loaded"),
        (lambda folder: (folder / "prompt_template.json").write_text('{"name": '), "prompt_template.json"),
        (lambda folder: (folder / "prompt_template.json").write_text("[]"), "prompt_template.json"),
        (lambda folder: (folder / "prompt_template.json").write_text('{"name": "mine"}'), "unknown template 'mine'"),
        (lambda folder: (folder / "prompt_template.json").write_bytes(b"\xff"), "prompt_template.json: not UTF-8"),
        (lambda folder: _without(folder, "*.safetensors"), "no model.safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
    ],
)
def test_a_damaged_model_is_an_error(change, said, tmp_path, monkeypatch, capsys):
    folder = _save(tmp_path / "model", "alpaca")
    change(folder)
    assert _chat(monkeypatch, "One?\n", f"--model={folder}") == 2
    captured = capsys.readouterr()
    assert "error: " in captured.err
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_a_template_that_cannot_be_used_is_an_error(alpaca, monkeypatch, capsys):
    for option, said in (
        ("--system=Be brief.", "error: --system: template alpaca has no place for a system text"),
        ("--template=llama3", "template llama3 needs <|begin_of_text|>"),
        ("--template=tokenizer", "this tokenizer has no chat template"),
    ):
        assert _chat(monkeypatch, "One?\n", f"--model={alpaca}", option) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give --adapter=FOLDER, --model=FOLDER, or both"),
        (["--model=x", "--top_p=0.9"], "mean nothing at temperature 0"),
        (["--model=x", "--temperature=-1"], "temperature"),
        (["--model=x", "--top_p=0", "--temperature=1"], "top_p"),
        (["--model=x", "--seed=4294967296"], "seed"),
        (["--model=x", "--max_tokens=0"], "max_tokens"),
        (["--model=x", "--dtype=float16"], "float32, bfloat16"),
        (["--model=x", "--template=vicuna"], "alpaca, medtuned, llama2, llama3, tokenizer"),
        (["--model=x", "--max-token=5"], "did you mean --max_tokens?"),
        (["--model=/nowhere/x"], "--model '/nowhere/x': there is no such folder"),
        (["--adapter=/nowhere/x"], "--adapter '/nowhere/x': there is no such folder"),
    ],
)
def test_unusable_settings(options, said, monkeypatch, capsys):
    assert _chat(monkeypatch, "", *options) == 2
    assert said in capsys.readouterr().err
