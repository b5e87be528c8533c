"""The verb, end to end: an adapter and its base in, a folder that transformers loads out."""

import errno
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from upath import UPath

from bioinstruct_jax import export, files
from bioinstruct_jax.interop import hub_config, merge, merged_folder, tensor_file, wording
from bioinstruct_jax.interop.merged_folder import MARK
from tests.interop.llama_pairs import reference, torch_logits
from tests.interop.merged_pairs import VOCABULARY, merged_by_peft, save_adapter, save_base, with_adapter, words

FILES = ["README.md", "config.json", "generation_config.json", "model.safetensors", "prompt_template.json"]
FILES += ["tokenizer.json", "tokenizer_config.json"]


def _pair(folder: Path, family: str = "llama2_gqa", adapter: str = "all", **settings) -> tuple[Path, Path]:
    save_base(folder / "base", family, **settings)
    save_adapter(folder / "adapter", folder / "base", adapter)
    return folder / "base", folder / "adapter"


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, Path]:
    return _pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def whole(pair, tmp_path_factory) -> Path:
    """An export that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "merged"
    assert _export(pair, out) == 0
    return out


def _export(pair: tuple[Path | UPath, Path | UPath], out: Path | UPath, *more: str) -> int:
    return export.main([f"--adapter={pair[1]}", f"--base={pair[0]}", f"--out={out}", *more])


def _bytes(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _rows(pair: tuple[Path, Path]) -> tuple[np.ndarray, np.ndarray]:
    """The prompts that the verb compares."""
    base, adapter = UPath(pair[0]), UPath(pair[1])
    return merged_folder.rows(wording.read(adapter, base), hub_config.read_shape(base))


def _loaded(folder: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


@pytest.mark.parametrize(
    ("family", "adapter"),
    [
        ("llama2_gqa", "all"),
        pytest.param("llama32_tied", "all", marks=pytest.mark.slow),
        pytest.param("biases", "rslora", marks=pytest.mark.slow),
        pytest.param("head_dim", "regex", marks=pytest.mark.slow),
        ("llama31", "patterns"),
        pytest.param("dynamic", "rslora", marks=pytest.mark.slow),
    ],
)
def test_transformers_loads_it_with_the_logits_of_base_and_adapter(family, adapter, tmp_path, capsys):
    # In float32 within 1e-4; the printed difference is the one that torch measures on the same prompts. Stored as
    # bfloat16, the logits are those of peft's own float32 merge after the same cast, within 1e-4: what is left is the
    # rounding of each weight to 8 bits, at most 5 % of the logits' root mean square (measured: 0.9 to 2.5 %).
    # Mutations: rope_scaling left out of config.json; bias of o_proj not written; scale of the adapter left out (each
    # beyond 1e-2); the difference printed for the base instead of the merged model.
    pair = _pair(tmp_path, family, adapter)
    tokens, segments = _rows(pair)
    assert tokens.shape[1] > 60
    wanted = torch_logits(with_adapter(*pair), tokens.astype(np.int64))[segments > 0]
    plain = torch_logits(_loaded(pair[0]), tokens.astype(np.int64))[segments > 0]
    assert np.abs(wanted - plain).max() > 0.2
    cast = {name: torch.from_numpy(tensor).bfloat16() for name, tensor in merged_by_peft(*pair).items()}
    rounded = _loaded(pair[0])
    rounded.load_state_dict(cast, strict=False)  # a tied head is not among them
    rounded = torch_logits(rounded, tokens.astype(np.int64))[segments > 0]
    for dtype, expected in (("float32", wanted), ("bfloat16", rounded)):
        out = tmp_path / dtype
        assert _export(pair, out, f"--dtype={dtype}") == 0
        found = torch_logits(_loaded(out), tokens.astype(np.int64))[segments > 0]
        assert np.abs(found - expected).max() < 1e-4
        assert np.square(found - wanted).mean() < 0.05**2 * np.square(wanted).mean()
        gap = np.abs(found - wanted).max()
        printed = float(re.search(r"largest logit difference.*: (\S+) on", capsys.readouterr().out)[1])
        assert abs(printed - gap) < max(1e-4, 0.01 * gap)
        assert {str(tensor.dtype) for tensor in load_file(out / "model.safetensors").values()} == {dtype}
        assert json.loads((out / "config.json").read_text())["torch_dtype"] == dtype


def test_everything_needed_stands_in_the_folder(whole, pair):
    assert sorted(file.name for file in whole.iterdir()) == FILES
    for name in ("tokenizer.json", "tokenizer_config.json", "prompt_template.json"):
        assert (whole / name).read_bytes() == (pair[1] / name).read_bytes()
    tokenizer = AutoTokenizer.from_pretrained(whole)
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<s>", "</s>")
    card = (whole / "README.md").read_text()
    for text in ("# adapter, merged", "float32, then cast to float32", "largest logit difference", "Licence"):
        assert text in card
    assert str(pair[0].parent) not in card
    assert len(re.findall(r"`[0-9a-f]{64}`", card)) == 3


def test_buckets_and_small_shards(pair, whole):
    bucket = UPath("memory://exports")
    for folder in pair:
        (bucket / folder.name).mkdir(parents=True)
        for file in folder.iterdir():
            (bucket / folder.name / file.name).write_bytes(file.read_bytes())
    out = bucket / "merged"
    assert _export((bucket / pair[0].name, bucket / pair[1].name), out, "--max_shard_gb=2e-5") == 0
    assert _export((bucket / pair[0].name, bucket / pair[1].name), bucket / pair[0].name / "merged") == 2
    names = {file.name for file in out.iterdir()}
    assert {"config.json", "model.safetensors.index.json", "tokenizer.json"} < names
    assert MARK not in names
    assert sum(name.startswith("model-") for name in names) > 5
    tensors = {}
    for name in names:
        if name.startswith("model-"):
            for tensor in tensor_file.read_header(out / name).values():
                with (out / name).open("rb") as stream:
                    tensors[tensor.name] = tensor_file.read_rows(stream, tensor, slice(None), tensor.dtype)
    wanted = load_file(whole / "model.safetensors")
    assert tensors.keys() == wanted.keys()
    assert all(np.array_equal(tensors[name], wanted[name]) for name in wanted)


# -------------------------------------------------------------------- where answers end


@pytest.mark.parametrize(
    ("template", "stored", "eos"),
    [
        ("alpaca", None, 1),
        ("llama3", None, [1, "<|eot_id|>"]),
        (
            "llama3",
            {"bos_token_id": 0, "eos_token_id": [1, 5], "temperature": 0.6, "do_sample": True},
            [1, 5, "<|eot_id|>"],
        ),
        ("alpaca", {"_from_model_config": True, "eos_token_id": 7, "pad_token_id": 2}, [7, 1]),
        (None, {"bos_token_id": 0, "eos_token_id": None}, 1),
    ],
)
def test_served_models_stop_where_answers_end(template, stored, eos, tmp_path):
    # Mutations: the template's end left out; the base's generation settings not carried over; config.json's eos alone.
    save_base(tmp_path / "base")
    save_adapter(tmp_path / "adapter", tmp_path / "base", template=template)
    if stored is not None:
        (tmp_path / "base" / "generation_config.json").write_text(json.dumps(stored))
    out = tmp_path / "out"
    assert _export((tmp_path / "base", tmp_path / "adapter"), out) == 0
    ids = words().get_vocab()
    wanted = [ids.get(one, one) for one in eos] if isinstance(eos, list) else eos
    fields = json.loads((out / "generation_config.json").read_text())
    config = json.loads((out / "config.json").read_text())
    assert fields["eos_token_id"] == config["eos_token_id"] == wanted
    assert fields["bos_token_id"] == 0
    kept = {
        name: value for name, value in (stored or {}).items() if name in ("temperature", "do_sample", "pad_token_id")
    }
    assert kept.items() <= fields.items()
    assert "_from_model_config" not in fields
    assert _loaded(out).generation_config.eos_token_id == wanted
    assert (out / "prompt_template.json").exists() == (template is not None)


def test_without_any_tokenizer_the_weights_are_merged_all_the_same(pair, tmp_path, capsys):
    reference(0, vocab_size=VOCABULARY, num_key_value_heads=2).save_pretrained(tmp_path / "base")
    save_adapter(tmp_path / "adapter", tmp_path / "base", template=None)
    assert _export((tmp_path / "base", tmp_path / "adapter"), tmp_path / "out") == 0
    captured = capsys.readouterr()
    assert "neither adapter nor base has a tokenizer" in captured.err
    assert "no prompt_template.json" in captured.err
    assert float(re.search(r": (\S+) on 64 tokens", captured.out)[1]) < 1e-4
    assert not list((tmp_path / "out").glob("tokenizer*"))


# -------------------------------------------------------------------- interruptions

KILLED_AT = """
import os, signal, sys
from bioinstruct_jax import export
out, name, words = sys.argv[1], sys.argv[2], sys.argv[3:]
def hook(event, arguments):
    if event == "open" and str(arguments[0]).startswith(os.path.join(out, name)) and isinstance(arguments[1], str):
        if "w" in arguments[1]:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.exit(export.main(words))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model-00003-of-", "model.safetensors.index.json", "README.md", "config.json"])
def test_a_killed_export_looks_unfinished_and_the_same_command_completes_it(name, pair, tmp_path):
    # A real SIGKILL, just before that file is written. Mutations: config.json written before the weights; the mark
    # left out (then the second command refuses the folder); the mark removed before config.json is there.
    out = tmp_path / "out"
    command = [f"--adapter={pair[1]}", f"--base={pair[0]}", f"--out={out}", "--max_shard_gb=2e-5"]
    done = subprocess.run([sys.executable, "-c", KILLED_AT, str(out), name, *command], capture_output=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert (out / MARK).exists()
    assert not (out / "config.json").exists()
    with pytest.raises((OSError, ValueError)):
        AutoModelForCausalLM.from_pretrained(out)
    assert export.main(command) == 0
    assert not (out / MARK).exists()
    assert _loaded(out) is not None


@pytest.mark.parametrize("fault", range(6))
def test_whatever_write_fails_nothing_looks_finished_and_the_next_export_is_whole(
    fault, pair, whole, tmp_path, monkeypatch, capsys
):
    # A disk that is full from the n-th file on. Mutation: config.json written first; OSError not caught.
    left = fault
    real_write, real_text = tensor_file.write, files.write_text

    def spend() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    def text(file, content):
        spend()
        real_text(file, content)

    def write(file, entries, arrays):
        real_write(file, entries, arrays)
        spend()

    monkeypatch.setattr(files, "write_text", text)
    monkeypatch.setattr("bioinstruct_jax.interop.hub_weights.write", write)
    out = tmp_path / "out"
    code = _export(pair, out)
    assert code == 2
    assert re.search(rf"error: --out {out} is not finished \(.*No space left.*same command", capsys.readouterr().err)
    assert not (out / "config.json").exists()
    monkeypatch.undo()
    if not (out / MARK).exists():
        assert not any(out.iterdir())
    assert _export(pair, out) == 0
    assert _bytes(out) == _bytes(whole)


@pytest.mark.slow
def test_a_file_that_cannot_grow(pair, tmp_path):
    # The system itself refuses the bytes. Mutation: OSError not caught.
    code = "import resource, sys\nfrom bioinstruct_jax import export\n"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\nsys.exit(export.main(sys.argv[1:]))\n"
    command = [f"--adapter={pair[1]}", f"--base={pair[0]}", f"--out={tmp_path / 'out'}"]
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "error: --out" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "config.json").exists()


def test_a_file_damaged_on_its_way_is_found(pair, tmp_path, monkeypatch, capsys):
    # unsloth#7937. Mutation: `read_back` skipped.
    real = tensor_file.write
    name = "model.layers.2.self_attn.o_proj.weight"

    def damaged(file, entries, arrays):
        real(file, entries, arrays)
        tensors = load_file(str(file))
        tensors[name].view(np.uint32)[0, 0] ^= 1
        save_file(tensors, str(file))

    monkeypatch.setattr("bioinstruct_jax.interop.hub_weights.write", damaged)
    assert _export(pair, tmp_path / "out") == 2
    assert f"tensor {name} was read back with other values" in capsys.readouterr().err
    assert not (tmp_path / "out" / "config.json").exists()


def test_what_an_unfinished_export_left_is_gone(pair, whole, tmp_path):
    # Mutation: `begin` that leaves the files of another adapter, template or tokenizer where they are.
    out = tmp_path / "out"
    out.mkdir()
    left = ("model-00001-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.model", "config.json")
    for name in (*left, "notes.txt", MARK):
        (out / name).write_text("{}")
    assert _export(pair, out) == 0
    assert (out / "notes.txt").exists()
    (out / "notes.txt").unlink()
    assert _bytes(out) == _bytes(whole)


# -------------------------------------------------------------------- which folders


def test_what_is_not_ours_is_not_touched(pair, whole, tmp_path, capsys):
    # Mutation: the mark not looked for; `_place` that compares names.
    mine = tmp_path / "mine"
    shutil.copytree(pair[0], mine)
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(pair[1])
    for out, said in (
        (mine, "is no unfinished export: nothing was changed"),
        (whole, "is no unfinished export"),
        (tmp_path / "file", "is a file"),
        (pair[0], "is the base"),
        (pair[1], "is the adapter"),
        (pair[1] / "deep" / "merged", "or inside it"),
        (pair[0] / ".." / "base" / "merged", "or inside it"),
        (tmp_path / "link" / "merged", "or inside it"),
        (tmp_path / "file" / "merged", "cannot be made"),
    ):
        before = {folder: _bytes(folder) for folder in (mine, whole, *pair)}
        assert _export(pair, out) == 2
        error = capsys.readouterr().err
        assert "error: " in error
        assert said in error
        assert "Traceback" not in error
        assert {folder: _bytes(folder) for folder in (mine, whole, *pair)} == before


def test_the_base_is_the_one_that_the_adapter_names(tmp_path, monkeypatch, capsys):
    # Mutations: paths looked for from the adapter's folder only; the run's own base not looked for.
    save_base(tmp_path / "here" / "runs" / "one" / "base")
    save_adapter(tmp_path / "here" / "runs" / "one" / "adapter", tmp_path / "here" / "runs" / "one" / "base")
    run = tmp_path / "here" / "runs" / "one"

    def name(base: str | None) -> None:
        file = run / "adapter" / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": base}))

    monkeypatch.chdir(tmp_path / "here")
    for base in ("runs/one/base", "./runs/one/base", str(run / "base"), "../base"):
        name(base)
        assert export.main([f"--adapter={run / 'adapter'}", f"--out={tmp_path / 'out'}"]) == 0
        shutil.rmtree(tmp_path / "out")
    name("gone/runs/one/base")
    command = ["--adapter=runs/one", "--out=out"]
    assert export.main(command) == 2
    assert "--base=FOLDER" in capsys.readouterr().err
    (run / "config.yaml").write_text("name: one\n")  # then it is a run folder, which has moved
    assert export.main(command) == 0
    name(None)
    assert export.main([*command[:1], "--out=other"]) == 2
    assert "names no base; give it as --base" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda base, adapter: (adapter / "adapter_config.json").unlink(), "no adapter_config.json"),
        (lambda base, adapter: _set(adapter / "adapter_config.json", use_dora=True), "DoRA"),
        (lambda base, adapter: _set(adapter / "adapter_config.json", bias="all"), "bias"),
        (lambda base, adapter: _set(base / "config.json", quantization_config={"bits": 4}), "quantised"),
        (lambda base, adapter: _set(base / "config.json", model_type="mistral"), "mistral"),
        (lambda base, adapter: _set(base / "config.json", eos_token_id="</s>"), "eos_token_id = '</s>'"),
        (lambda base, adapter: (base / "generation_config.json").write_text("{"), "generation_config.json, line 1"),
        (lambda base, adapter: (base / "model.safetensors").unlink(), "no model.safetensors"),
        (
            lambda base, adapter: (base / "model.safetensors").write_bytes(b"x" * 99),
            "model.safetensors: no safetensors",
        ),
        (
            lambda base, adapter: (adapter / "prompt_template.json").write_text('{"name": "mine"}'),
            "unknown template 'mine'",
        ),
        (lambda base, adapter: (adapter / "tokenizer.json").write_text("{"), "cannot be loaded"),
    ],
)
def test_what_cannot_be_merged_is_an_error_and_leaves_no_folder(change, said, pair, tmp_path, capsys):
    for folder in pair:
        shutil.copytree(folder, tmp_path / folder.name)
    copies = tmp_path / pair[0].name, tmp_path / pair[1].name
    change(*copies)
    assert _export(copies, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "error: " in error
    assert said in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def _set(file: Path, **fields: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "adapter: missing"),
        (["--adapter=x"], "nothing to do"),
        (["--adapter=x", "--out=y", "--dtype=int8"], "float32, bfloat16, float16"),
        (["--adapter=x", "--out=y", "--max_shard_gb=0"], "max_shard_gb"),
        (["--adapter=x", "--check-vllm", "--dtype=float32"], "mean nothing without --out"),
        (["--adapter=/nowhere/x", "--out=y"], "--adapter '/nowhere/x': there is no such folder"),
        (["--adapter=/nowhere/x", "--check-vllm"], "--adapter '/nowhere/x'"),
    ],
)
def test_unusable_settings(words, said, capsys):
    assert export.main(words) == 2
    assert said in capsys.readouterr().err


def test_a_place_that_cannot_be_made_is_refused_before_the_work(pair, tmp_path, capsys, monkeypatch):
    # Mutation: merged_folder.check without files.hindrance: the second is told by an errno, and to run it again.
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(merge, "load_base", None)  # not reached
    for place in (tmp_path / "file" / "sub", Path("/proc/merged")):
        assert _export(pair, place) == 2
        said = capsys.readouterr().err
        assert f"error: --out {place} cannot be made: " in said
        assert said.endswith("; choose another\n")


# -------------------------------------------------------------------- vLLM


def test_check_vllm_alone_and_beside_a_merge(pair, whole, tmp_path, capsys):
    # Mutation: the exit code of the check lost.
    assert export.main([f"--adapter={pair[1]}", "--check-vllm"]) == 0
    assert "vLLM would load" in capsys.readouterr().out
    _, adapter = shutil.copytree(pair[0], tmp_path / "base"), shutil.copytree(pair[1], tmp_path / "adapter")
    _set(adapter / "adapter_config.json", r=64)
    assert export.main([f"--adapter={adapter}", "--check-vllm"]) == 1
    assert re.search(r"would not load(.|\n)*  - .*64", capsys.readouterr().out)
    assert _export(pair, tmp_path / "out", "--check-vllm", "--max_lora_rank=1") == 1
    captured = capsys.readouterr().out
    assert "would not load" in captured
    assert "merged model:" in captured
    assert _bytes(tmp_path / "out") == _bytes(whole)


def test_a_gap_that_is_not_finite_leaves_nothing(pair, tmp_path, capsys, monkeypatch):
    real = merge.logits

    def broken(shape, arrays, lora, rows, mesh):
        return real(shape, arrays, lora, rows, mesh) * (np.nan if lora else 1)

    monkeypatch.setattr(merge, "logits", broken)
    assert _export(pair, tmp_path / "out") == 2
    assert "NaN or infinite" in capsys.readouterr().err
    assert not (tmp_path / "out" / "config.json").exists()
