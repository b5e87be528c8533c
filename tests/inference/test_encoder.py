"""Encoders for BERTScore, against the bert-score package, on random BERT and RoBERTa."""

import builtins
import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5ForConditionalGeneration

from bioinstruct_jax import evaluate
from bioinstruct_jax.evaluation import bertscore
from bioinstruct_jax.evaluation.runner.job import BertScore
from bioinstruct_jax.inference import encoder
from tests.inference import tiny_encoders

OUTPUTS = ("the patient has a cough", "Gout?", "cough " * 80, "  fever, rash ", "The skin of a patient\nwith gout.")
GOLDS = ("fever and a dry cough.", "What is gout?", "fever on the skin " * 9, "no rash", "A diet for gout.")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads cost more than they save where tensors are this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> str:
    return tiny_encoders.bert(tmp_path_factory.mktemp("encoders") / "bert")


def ours(model: str, layer: int) -> list[bertscore.Match]:
    one = encoder.load(BertScore(model=model, layer=layer))
    return [bertscore.match(one.encode(gold), one.encode(said)) for gold, said in zip(GOLDS, OUTPUTS, strict=True)]


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_scores_are_those_of_the_bert_score_package(bert, tmp_path, kind, layer):
    # Mutations: the layer before; opening and closing tokens counted; the end of a long text kept, not its beginning.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from bert_score import BERTScorer
    model = bert if kind == "bert" else tiny_encoders.roberta(tmp_path / "roberta", space=True)
    theirs = BERTScorer(model_type=model, num_layers=layer, device="cpu").score(list(OUTPUTS), list(GOLDS))
    found = ours(model, layer)
    for name, known in zip(("precision", "recall", "f1"), theirs, strict=True):
        assert [getattr(one, name) for one in found] == pytest.approx(known.tolist(), abs=2e-6), name


def test_the_first_word_of_a_text_is_the_token_that_it_is_within_a_sentence(tmp_path):
    # bert-score asks RoBERTa's tokenizer for that, and transformers 5 no longer hears it. Mutation: no space in front.
    plain, spaced = (tiny_encoders.roberta(tmp_path / str(space), space=space) for space in (False, True))
    assert [one.f1 for one in ours(plain, 2)] == [one.f1 for one in ours(spaced, 2)]


@pytest.mark.parametrize("longest", [tiny_encoders.LONGEST, None])
def test_a_long_text_loses_its_end_and_says_so(tmp_path, longest):
    # Mutation: the tokenizer's own limit alone, which may not be set.
    one = encoder.load(BertScore(model=tiny_encoders.bert(tmp_path / "bert", longest=longest), layer=2))
    room = tiny_encoders.LONGEST - 2
    short, full, long = (one.encode("cough " * times) for times in (5, room, room + 7))
    assert [len(each.vectors) for each in (short, full, long)] == [7, room + 2, room + 2]
    assert [each.cut for each in (short, full, long)] == [0, 0, 7]
    assert bertscore.match(full, long).f1 == pytest.approx(1)
    assert "beyond 40 tokens is not compared" in one.note
    assert not one.encode(" ").counted.any()


def test_positions_of_roberta_begin_behind_those_for_padding(tmp_path):
    # Mutation: as many tokens as its table has rows, which ends in an IndexError.
    folder = Path(tiny_encoders.roberta(tmp_path / "roberta", space=False))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": 10**30}))
    one = encoder.load(BertScore(model=str(folder), layer=1))
    assert len(one.encode("cough " * 80).vectors) == tiny_encoders.LONGEST


def test_other_weights_have_another_note(bert, tmp_path):
    # Mutation: the hash is of the file's name.
    other = shutil.copytree(bert, tmp_path / "other") / "model.safetensors"
    save_file({name: weight + 1 for name, weight in load_file(other).items()}, other, {"format": "pt"})
    notes = [encoder.load(BertScore(model=model, layer=2)).note for model in (bert, str(other.parent))]
    assert notes[0].replace(bert, "") != notes[1].replace(str(other.parent), "")
    assert "layer 2, no idf, not rescaled, transformers 5" in notes[0]


def test_what_cannot_be_an_encoder_is_refused(bert, tmp_path):
    # Mutation: missing tensors stay random.
    def refused(model, said, layer=2):
        with pytest.raises((ValueError, OSError), match=said):
            encoder.load(BertScore(model=str(model), layer=layer))

    refused(bert, "bertscore.layer is 4, but it has 3 layers", layer=4)
    refused(tmp_path / "nothing", "there is no such folder")
    pickled = shutil.copytree(bert, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    refused(pickled, "weights as pickles")
    torn = shutil.copytree(bert, tmp_path / "torn") / "model.safetensors"
    kept = {name: weight for name, weight in load_file(torn).items() if "layer.1.output.dense" not in name}
    save_file(kept, torn, {"format": "pt"})
    refused(torn.parent, "the weights lack 2 tensors of bert")
    both = shutil.copytree(bert, tmp_path / "both")
    sizes = {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2}
    T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0)).save_pretrained(both)
    refused(both, "an encoder and a decoder")


def test_without_torch_the_error_names_the_extra(bert, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "torch":
            raise ImportError("No module named 'torch'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"pip install 'bioinstruct-jax\[bertscore\]'"):
        encoder.load(BertScore(model=bert, layer=1))


def test_evaluate_writes_bertscore_beside_rouge(bert, tmp_path, capsys):
    # Mutation: the encoder is not handed on.
    corpus = tmp_path / "corpora/pmc-llama-instructions"
    corpus.mkdir(parents=True)
    golds = ("A dry cough with fever.", "A diet low in purines.")
    rows = [{"instruction": "Answer.", "input": f"Case {gold}", "output": gold, "source": "ours"} for gold in golds]
    (corpus / "release.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = [{"task": "pmc_llama", "id": f"pmc_llama/train/train:{place}", "output": said}
               for place, said in ((1, golds[0]), (2, " "))]  # fmt: skip
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    told = [f"--out={tmp_path / 'out'}", f"--corpora={tmp_path / 'corpora'}", "--tasks=[pmc_llama]"]
    told += ["--models.0.runs_on=predictions", f"--models.0.predictions={tmp_path / 'answers.jsonl'}"]
    assert evaluate.main([*told, f"--bertscore.model={bert}", "--bertscore.layer=2"]) == 0, capsys.readouterr().err
    (results,) = (tmp_path / "out/model").glob("results_*.json")
    text = results.read_text()
    assert "bertscore_f1" in text
    assert f"encoder {bert} (weights " in text
    (samples,) = (tmp_path / "out/model").glob("samples_*.jsonl")
    found = [json.loads(line) for line in samples.read_text().splitlines()]
    for name in ("bertscore_f1", "bertscore_precision", "bertscore_recall"):
        assert [row[name] for row in found] == pytest.approx([1, 0]), name
    assert "BERTScore, F1" in (tmp_path / "out/report.html").read_text()
