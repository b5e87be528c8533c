"""One process of `evaluation_speed`: loads the model, scores, and writes what it took."""

import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import evaluation_speed
from tests.benchmarks.evaluation_speed import CONTEXT, Run
from tests.benchmarks.scoring import prose

MIB = 1024 if sys.platform != "darwin" else 1024**2


def peak() -> float:
    """Of this process's memory so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


def harness(folder: str, tasks: str, batches: list[int]) -> list[Run]:
    """lm-evaluation-harness: its own tasks over local files, all of them in one call."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    names = [file.stem for file in sorted(Path(tasks).glob("*.yaml"))]
    measured = []
    for batch in batches:
        model = HFLM(folder, device="cpu", dtype="float32", batch_size=batch, max_length=CONTEXT, add_bos_token=False)
        loaded, start, used = peak(), time.perf_counter(), time.process_time()
        results = lm_eval.simple_evaluate(
            model=model,
            tasks=_harness_names(names),
            num_fewshot=0,
            task_manager=TaskManager(include_path=tasks, include_defaults=False),
            bootstrap_iters=0,
            log_samples=True,
        )
        seconds, used = time.perf_counter() - start, time.process_time() - used
        assert results is not None
        said = {
            name: [
                [float(answer[0][0]) for answer in sample["resps"]]
                for sample in sorted(results["samples"][task], key=lambda sample: sample["doc_id"])
            ]
            for name, task in zip(names, _harness_names(names), strict=True)
        }
        measured.append(
            {
                "batch": batch,
                "seconds": seconds,
                "cpu": used,
                "loaded": loaded,
                "peak": peak(),
                "compiling": 0.0,
                "programs": 0,
                "tasks": {},
                "loglikelihoods": said,
            }
        )
    return measured


def _harness_names(names: list[str]) -> list[str]:
    from bioinstruct_jax.evaluation import choice_prompts
    from bioinstruct_jax.tasks.table import TASKS

    return [str(choice_prompts.likelihood(TASKS[name]).harness) for name in names]


def ours(side: str, folder: str, items: int | None, batches: list[int]) -> list[Run]:
    """Our runner as the verb calls it, one model through all tasks."""
    import jax

    from bioinstruct_jax.evaluation.runner import asking, evaluating
    from bioinstruct_jax.evaluation.runner import folder as places
    from bioinstruct_jax.evaluation.runner.job import Model
    from bioinstruct_jax.inference import opened
    from bioinstruct_jax.reporting.progress import Progress

    compiled: list[float] = []
    programs: list[str] = []

    def listen(event: str, seconds: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile"):
            compiled.append(seconds)
        if event.endswith("backend_compile_duration"):
            programs.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    measured = []
    data = Path(os.environ["BIOINSTRUCT_DATA"])
    for batch in batches:
        with tempfile.TemporaryDirectory() as out, Progress(every=1) as progress:
            runs_on = "jax" if side == "ours_jax" else "transformers"
            model = Model(model=folder, runs_on=runs_on, batch=batch, dtype="float32", template="alpaca")
            job = evaluation_speed.job(data, Path(out, "scores"), model, items)
            with opened.opened(model, job, [], None, Path(out)) as ready:
                loaded, start, used = peak(), time.perf_counter(), time.process_time()
                compiled.clear()
                programs.clear()
                plan = evaluation_speed.plan(data, items)
                places.begin(job)
                rate = asking.Rate(sum(one.items for one in plan))
                tasks: dict[str, float] = {}
                for one in plan:
                    began = time.perf_counter()
                    evaluating.results(ready, job, [one], Path(job.out), None, progress, rate)
                    tasks[one.task.name] = time.perf_counter() - began
                seconds, used = time.perf_counter() - start, time.process_time() - used
            said = {}
            for one in plan:
                (file,) = Path(job.out).glob(f"*/samples_{one.task.name}_*.jsonl")
                rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
                said[one.task.name] = [[float(answer[0][0]) for answer in row["resps"]] for row in rows]
            measured.append(
                {
                    "batch": batch,
                    "seconds": seconds,
                    "cpu": used,
                    "loaded": loaded,
                    "peak": peak(),
                    "compiling": sum(compiled),
                    "programs": len(programs),
                    "tasks": tasks,
                    "loglikelihoods": said,
                }
            )
    return measured


def stored_files(folder: Path, rows: int) -> list[str]:
    """MedQA's test file with so many questions made here, and an answer to each; the verb's arguments for them."""
    draw = random.Random(0)
    questions, answers = folder / "corpora" / "medqa", folder / "answers.jsonl"
    questions.mkdir(parents=True)
    with (
        (questions / "phrases_no_exclude_test.jsonl").open("w", encoding="utf-8") as asked,
        answers.open("w", encoding="utf-8") as said,
    ):
        for place in range(rows):
            options = {letter: prose(draw, 3) for letter in "ABCD"}
            right, chosen = draw.choice("ABCD"), draw.choice("ABCD")
            row = {"question": f"{prose(draw, 100)} {place}", "options": options, "answer_idx": right}
            asked.write(json.dumps(row | {"answer": options[right]}) + "\n")
            said.write(json.dumps({"task": "medqa", "id": f"medqa/test/test:{place + 1}", "output": chosen}) + "\n")
    return [
        f"--out={folder / 'scores'}",
        f"--corpora={folder / 'corpora'}",
        "--tasks=[medqa]",
        f"--models.0.predictions={answers}",
        "--models.0.runs_on=predictions",
    ]


def stored(arguments: list[str]) -> None:
    """The whole verb over outputs in a file."""
    from bioinstruct_jax import evaluate

    start = time.perf_counter()
    if code := evaluate.main(arguments):
        raise SystemExit(code)
    seconds, used = time.perf_counter() - start, time.process_time()
    print(f"{seconds:.1f} s, {used:.1f} CPU-seconds with the imports, peak memory {peak():.0f} MiB")


def main() -> None:
    side, *given = sys.argv[1:]
    if side == "stored":
        stored(given)
        return
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-int(os.environ["SCORED_CORES"]) :])
    folder, tasks, items, out, *batches = given
    sizes = [int(size) for size in batches]
    runs = harness(folder, tasks, sizes) if side == "harness" else ours(side, folder, int(items) or None, sizes)
    Path(out).write_text(json.dumps(runs), encoding="utf-8")


if __name__ == "__main__":
    main()
