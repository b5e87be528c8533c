"""Try it: from instructions that a script writes to a report of whether tuning on them helped, offline, in minutes.

Each stage is the ordinary verb, run as the command that is printed. The same command goes on where it stopped.

Exit code: 0 done, 2 unusable settings or folder, 75 SIGTERM, 130 interrupted; else that of the verb that failed.
"""

import sys

from bioinstruct_jax import settings
from bioinstruct_jax.config import Train
from bioinstruct_jax.demonstration.job import Demo
from bioinstruct_jax.interrupt import Interrupt, exit_code
from bioinstruct_jax.usage import Verb

EXAMPLES = ("", "--out=elsewhere", "--out=small --instructions=150 --held_out=30 --steps=20")


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    verb = Verb("demo", " ".join((__doc__ or "").split()), EXAMPLES)
    from bioinstruct_jax.demonstration.stage import StageError

    def work() -> int:
        job, _ = settings.load(argv, verb, Demo, settings.NoExtras)
        with Interrupt():
            run(job)
        return 0

    try:
        return exit_code(work)
    except StageError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code


def run(job: Demo) -> None:
    """All stages; raises StageError where one fails, ValueError or OSError for what cannot be used."""
    from bioinstruct_jax.demonstration import folder, rows, stage
    from bioinstruct_jax.generation import scripted_teacher

    out = folder.begin(job)
    generated, train_rows = out / folder.INSTRUCTIONS / "instructions.jsonl", out / folder.TRAIN
    train = [job.training, f"--name={folder.RUN}", f"--runs_dir={out / folder.RUNS}"]
    train.append(f"--data.sources.0.path={train_rows}")
    train += [f"--training.steps={job.steps}", "--training.epochs=null"] if job.steps else []
    tuning, _ = settings.load(train, Verb("train", "", ()), Train, settings.NoExtras)  # what cannot be used is said now
    with folder.locked(out) as lock:
        if folder.finished(out):
            print(f"The demo in {out} is finished; nothing was changed.\n{folder.paths(out)}")
            return
        print(folder.TRUE)
        (out / folder.SETTINGS).write_text(settings.dump(job), encoding="utf-8")
        logs = out / "logs"

        # ---------------------------------------------------------------- a teacher writes, filters choose
        teacher = scripted_teacher.serve()  # in a thread, which ends with this process, however that ends
        port = teacher.server_address[1]
        serving = f"python -m bioinstruct_jax.generation.scripted_teacher --port={port}"
        print(f"\n$ {serving}\n  (served by the demo itself until the next command ends)")
        generate = [
            "demo",
            f"--out={out / folder.INSTRUCTIONS}",
            f"--target={job.instructions}",
            f"--teachers.0.base_url=http://127.0.0.1:{port}/v1",
        ]
        try:
            stage.run("generate", generate, logs / "generate.log", lock)
        finally:
            teacher.shutdown()
            teacher.server_close()

        # ---------------------------------------------------------------- some rows are kept to be asked
        parted = rows.part(generated, train_rows, out / folder.CORPORA, job.held_out)
        print(f"\n{parted.said()}")

        # ---------------------------------------------------------------- a small model is tuned on the others
        stage.run("train", train, logs / "train.log", lock)

        # ---------------------------------------------------------------- base and tuned are asked the same
        run_folder = out / folder.RUNS / folder.RUN
        evaluate = ["demo", f"--out={out / folder.SCORES}", f"--corpora={out / folder.CORPORA}"]
        base = run_folder / "base" if tuning.model.weights == "random" else tuning.model.weights
        evaluate += [f"--models.0.model={base}", f"--models.1.adapter={run_folder}"]
        stage.run("evaluate", evaluate, logs / "evaluate.log", lock)

        commands = [serving, *map(stage.shown, ("generate", "train", "evaluate"), (generate, train, evaluate))]
        folder.finish(out, parted, commands)
        print(f"\n{folder.TRUE}\n\n{folder.YOURS}\n\n{folder.paths(out)}")


if __name__ == "__main__":
    sys.exit(main())
