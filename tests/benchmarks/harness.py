"""Choice tasks beside lm-evaluation-harness: the same prompts, log-likelihoods and accuracies on real items.

    BIOINSTRUCT_DATA=FOLDER python -m tests.benchmarks.harness [--items 60]

Needs lm-eval 0.4.13. A LLaMA with random weights is scored by both, float32: zero-shot without BOS, and with two shots
behind BOS. The harness reads its own packaged tasks, over the publishers' files as they stand and with acc_norm and
brier_score asked of all; shots are those that it draws itself. Items whose text the readers tidy are always among those
compared. Contexts and continuations must be equal as texts, log-likelihoods within 1e-3, acc and acc_norm of every item
equal and the Brier scores within 1e-3, or the benchmark fails. The seconds are of one run of each, our second one, so
without compiling; tiny models say little of speed.
"""

import argparse
import csv
import json
import os
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from upath import UPath

from bioinstruct_jax.evaluation import choice_prompts, choices
from bioinstruct_jax.evaluation.choices import Choices
from bioinstruct_jax.evaluation.language_model import LanguageModel
from bioinstruct_jax.tasks.choice import Choice
from bioinstruct_jax.tasks.task import Item, Task

CONTEXT = 8192
TOLERANCE = 1e-3
SPLITS = {"medmcqa": "dev"}  # others: test
PACKAGED = {  # files of the harness
    "medqa": "medqa/medqa.yaml",
    "medmcqa": "medmcqa/medmcqa.yaml",
    "pubmedqa": "pubmedqa/pubmedqa.yaml",
}
Doc = dict[str, Any]


@dataclass(frozen=True)
class Sides:
    """One task on both sides.

    Attributes:
        items: their number.
        apart: largest difference of a log-likelihood.
        theirs, ours: [N, 2], acc and acc_norm of each item.
        seconds: of the harness, of ours compiling included, of ours without.
    """

    items: int
    apart: float
    theirs: np.ndarray
    ours: np.ndarray
    seconds: tuple[float, float, float]


def documents(task: Task[Any, str], data: Path) -> list[tuple[Doc, Item]]:
    """Every item of the scored split as a row of the harness's own dataset, from the publisher's file, and as ours."""
    folder, split = data / task.folder, SPLITS.get(task.name, "test")
    items = list(task.items(UPath(data), split))
    files = task.split(split).files
    if task.name == "pubmedqa":
        corpus, official = (json.loads((folder / name).read_text(encoding="utf-8")) for name in files)
        named = {item.id: item for item in items}
        fields = ("QUESTION", "CONTEXTS", "final_decision")
        pairs = [({key: corpus[pmid][key] for key in fields}, named[pmid]) for pmid in official]
        # The file is ordered by answer.
        kinds = [[pair for pair in pairs if pair[0]["final_decision"] == one] for one in task.labels]
        return [kind[place] for place in range(len(pairs)) for kind in kinds if place < len(kind)]
    text = (folder / files[0]).read_bytes().decode("utf-8-sig")
    if task.folder == "mmlu":
        rows = [row for row in csv.reader(text.splitlines(keepends=True)) if row]
        docs = [{"question": row[0], "choices": row[1:5], "answer": "ABCD".index(row[5])} for row in rows]
    else:
        read = [json.loads(line) for line in text.split("\n") if line.strip()]
        docs = [_medqa(row) if task.name == "medqa" else row | {"cop": row["cop"] - 1} for row in read]
    return list(zip(docs, items, strict=True))


def _medqa(row: Doc) -> Doc:
    endings = {f"ending{place}": row["options"][letter] for place, letter in enumerate("ABCD")}
    return {"sent1": row["question"], **endings, "label": "ABCD".index(row["answer_idx"])}


def chosen(pairs: list[tuple[Doc, Item]], count: int | None) -> list[tuple[Doc, Item]]:
    """The first ones, those whose text is tidied before all others; None: all."""
    return sorted(pairs, key=lambda pair: not (isinstance(pair[1], Choice) and pair[1].untidied))[:count]


def task_file(task: Task[Any, str], docs: list[Doc], folder: Path) -> None:
    """The harness's packaged task over these rows; shots are drawn from them too."""
    import lm_eval.tasks
    import yaml

    rows = folder / f"{task.name}.jsonl"
    rows.write_text("".join(json.dumps(doc) + "\n" for doc in docs), encoding="utf-8")
    packaged = PACKAGED.get(task.name, f"mmlu/default/{task.name}.yaml")
    split = "validation" if task.name == "medmcqa" else "test"
    settings = {
        "include": str(Path(lm_eval.tasks.__file__).parent / packaged),
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {split: str(rows)}, "cache_dir": str(folder / "cache")},
        "training_split": None,
        "validation_split": None,
        "test_split": split,
        "fewshot_split": split,
        "metric_list": [{"metric": metric} for metric in ("acc", "acc_norm", "brier_score")],
    }
    (folder / f"{task.name}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def shots(task: Task[Any, str], pairs: list[tuple[Doc, Item]], count: int, seed: int = 1234) -> list[list[Item]]:
    """Those that the harness draws, for each item."""
    draws, found = random.Random(seed), []
    for doc, _ in pairs:
        ordered = choice_prompts.likelihood(task).ordered
        places = range(len(pairs)) if ordered else draws.sample(range(len(pairs)), count + 1 if count else 0)
        found.append([pairs[place][1] for place in places if pairs[place][0] != doc][:count])
    return found


def compare(
    task: Task[Any, str],
    pairs: list[tuple[Doc, Item]],
    count: int,
    folder: Path,
    theirs: Any,
    ours: LanguageModel,
    *,
    passes: int = 2,
) -> Sides:
    """Both sides on the same items; raises AssertionError where they differ.

    Args:
        count: shots.
        folder: for the harness's task file.
        theirs: the harness's own language model.
        passes: of ours; with one, compiling is in both of its times.
    """
    import lm_eval
    from lm_eval.tasks import TaskManager

    task_file(task, [doc for doc, _ in pairs], folder)
    name = choice_prompts.likelihood(task).harness
    start = time.perf_counter()
    results = lm_eval.simple_evaluate(
        model=theirs,
        tasks=[name],
        num_fewshot=count,
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
        log_samples=True,
    )
    seconds = [time.perf_counter() - start]
    samples = sorted(results["samples"][name], key=lambda sample: sample["doc_id"])
    assert len(samples) == len(pairs)
    for _ in range(passes):
        start = time.perf_counter()
        prompts = [
            choice_prompts.prompt(task, item, shown)
            for (_, item), shown in zip(pairs, shots(task, pairs, count), strict=True)
        ]
        made = choices.read(prompts, ours.loglikelihood([one for prompt in prompts for one in prompt.requests()]))
        seconds.append(time.perf_counter() - start)
    for sample, prompt in zip(samples, prompts, strict=True):
        for asked, request in zip(_arguments(sample), prompt.requests(), strict=True):
            assert asked == (request.context, request.continuation), f"{task.name}, {prompt.item}: {asked!r}"
    said = np.array([[float(answer[0][0]) for answer in sample["resps"]] for sample in samples])
    brier = float(results["results"][name]["brier_score,none"])
    assert abs(brier - made.brier.mean()) < TOLERANCE, f"{task.name}: Brier {brier}, ours {made.brier.mean()}"
    return _sides(made, said, samples, (seconds[0], seconds[1], seconds[-1]))


def _arguments(sample: Doc) -> list[tuple[str, str]]:
    asked = sample["arguments"]
    return [tuple(one.values() if isinstance(one, dict) else one) for one in asked]


def _sides(made: Choices, said: np.ndarray, samples: list[Doc], seconds: tuple[float, float, float]) -> Sides:
    apart = float(np.abs(said - made.loglikelihoods).max())
    assert apart < TOLERANCE, f"log-likelihoods are {apart} apart"
    theirs = np.array([[sample["acc"], sample["acc_norm"]] for sample in samples], float)
    ours = np.stack([made.acc, made.acc_norm], axis=1)
    assert np.array_equal(theirs, ours), (
        f"acc or acc_norm differs: items {np.flatnonzero((theirs != ours).any(axis=1))}"
    )
    return Sides(len(samples), apart, theirs, ours, seconds)


def models(folder: Path, *, bos: bool) -> tuple[Any, LanguageModel]:
    """The harness's language model and ours, of one small LLaMA in a folder."""
    from lm_eval.models.huggingface import HFLM

    from bioinstruct_jax.data import tokenizer
    from bioinstruct_jax.inference.load import load
    from tests.interop import llama_pairs

    tiny = tokenizer.load("tiny")
    settings = {"vocab_size": len(tiny), "max_position_embeddings": CONTEXT, "num_key_value_heads": 2}
    llama_pairs.reference(1, **settings).save_pretrained(folder)  # its acc and acc_norm differ on PubMedQA
    tiny.save_pretrained(folder)
    theirs = HFLM(str(folder), device="cpu", dtype="float32", batch_size=4, max_length=CONTEXT, add_bos_token=bos)
    return theirs, load(str(folder), bos=bos).language_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, help="of each task (default: all)")
    items = parser.parse_args().items
    data = Path(os.environ["BIOINSTRUCT_DATA"])
    from bioinstruct_jax.tasks.table import TASKS

    tried = [task for task in TASKS.values() if task.likelihood and task.likelihood.harness]
    print(f"{'task':26}shots items  log-likelihoods apart   acc theirs  ours   acc_norm theirs  ours  ", end="")
    print("seconds theirs  ours (compiling too)")
    with tempfile.TemporaryDirectory() as place:
        for count, bos in ((0, False), (2, True)):
            folder = Path(place, str(count))
            theirs, ours = models(folder / "model", bos=bos)
            (folder / "tasks").mkdir()
            for task in tried:
                if task.missing(UPath(data), SPLITS.get(task.name, "test")):
                    continue
                pairs = chosen(documents(task, data), items)
                one = compare(task, pairs, count, folder / "tasks", theirs, ours)
                (acc, norm), (our_acc, our_norm) = one.theirs.mean(axis=0), one.ours.mean(axis=0)
                slow, first, second = one.seconds
                print(
                    f"{task.name:26}{count:5} {one.items:5}  {one.apart:21.1e}   {acc:10.3f}  {our_acc:.3f}  "
                    f"{norm:15.3f}  {our_norm:.3f}  {slow:13.1f}  {second:.1f} ({first:.1f})",
                    flush=True,
                )


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
