"""Instruction-tune a LLaMA: rows of text in, a run folder with adapter, metrics and checkpoints out."""

import contextlib
import dataclasses
import math
import os
import sys
from typing import Annotated

from pydantic import Field

from bioinstruct_jax import settings
from bioinstruct_jax.config import Natural, Train, config
from bioinstruct_jax.resources import resource
from bioinstruct_jax.usage import Verb

EXAMPLES = (
    "",
    "my.yaml --name=second --optimizer.learning_rate=1e-4",
    "llama2_7b --training.steps=20 --training.epochs=null --lora.targets='[q_proj, v_proj]'",
    "llama2_7b --data.sources='[{path: mine.jsonl}, {path: seeds, weight: 2}]'",
    "runs/first/config.yaml --name=again --data.sources.0.weight=0.5",
)


@config
class Options:
    """Options of one call, which no run folder remembers."""

    preview: Annotated[Natural, Field(description="print this many rows as the model will see them, then stop")] = 0


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb; returns the exit code: 0 done, 2 unusable settings or input, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    verb = Verb("train", __doc__ or "", EXAMPLES, default=resource("configs", "tiny.yaml"))
    try:
        job, options = settings.load(argv, verb, Train, Options)
        if job.platform != "auto":
            os.environ["JAX_PLATFORMS"] = {"gpu": "cuda"}.get(job.platform, job.platform)
        if options.preview:
            from bioinstruct_jax.data.preview import print_preview

            print_preview(job, options.preview)
        else:
            run(job)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the newest checkpoint", file=sys.stderr)
        return 130
    return 0


def run(job: Train) -> None:
    """The job from its first step, or from its newest checkpoint, to its last.

    Raises:
        ValueError: for settings, data or a run folder that cannot be used, with what to do.
        OSError: for a source, model or tokenizer that is not there, or a folder that cannot be written.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from bioinstruct_jax import run_folder
    from bioinstruct_jax.data import dataset
    from bioinstruct_jax.data.batch import micro_batches
    from bioinstruct_jax.interop import base, results, start
    from bioinstruct_jax.model.loss import Batch
    from bioinstruct_jax.reporting import run_report
    from bioinstruct_jax.reporting.plot import loss_plot
    from bioinstruct_jax.reporting.progress import Progress
    from bioinstruct_jax.training import flops, optimizer, sharding, state
    from bioinstruct_jax.training.checkpoint import Checkpoints
    from bioinstruct_jax.training.held_out import HeldOut
    from bioinstruct_jax.training.metrics import Metrics, open_tracker
    from bioinstruct_jax.training.recorder import Recorder
    from bioinstruct_jax.training.step import train_step

    folder = run_folder.open_run(job)
    if folder.finished:
        print(f"The run {folder.path} is finished; nothing was changed.\n{folder.summary()}")
        return

    with Progress() as progress, contextlib.ExitStack() as stack:
        # ---------------------------------------------------------------- rows of tokens
        progress.phase("loading")
        data = dataset.load(job, progress.within)
        for line in run_report.data_lines(data.report):
            progress.note(line)
        training = job.training
        passes = training.epochs or 0.0
        steps = training.steps or math.ceil(passes * len(data.train.tokens) / training.batch_rows)
        if job.optimizer.warmup_steps > steps:
            raise ValueError(
                f"optimizer.warmup_steps {job.optimizer.warmup_steps} is more than the {steps} steps of "
                f"training.epochs {training.epochs}: the learning rate would never reach its peak"
            )

        # ---------------------------------------------------------------- model and optimizer, born sharded
        progress.phase("loading model")
        mesh = sharding.make_mesh(job.mesh, sharding.devices(job.platform))
        stack.enter_context(jax.set_mesh(mesh))
        origin = base.resolve(job, len(data.tokenizer))
        adapter = start.resolve(job, origin.shape, data.template)
        plan = state.plan(job, origin.shape, mesh)
        micro_rows = training.batch_rows // training.micro_batches
        sharding.check_divisible(mesh, plan.weights, micro_rows)
        trained, frozen = base.place(job, plan, origin, adapter)
        identity = base.identity(job, plan, origin, trained, frozen)
        adamw = optimizer.make_optimizer(job.optimizer, steps)
        now = state.start(trained, adamw, mesh)
        del trained  # its buffers are the state's, which every step gives away

        # ---------------------------------------------------------------- where an earlier process left off
        about = {"base": identity, "template": data.template.hash, "steps": steps}
        about |= {name: (data.report[name] or {}).get("fingerprint") for name in ("train", "held_out")}
        checkpoints = Checkpoints(folder.path / "checkpoints", training.keep_checkpoints, about)
        now = checkpoints.restore(now) or now
        first = int(jax.device_get(now.step))
        folder.check_metrics(first)
        folder.write_json("data.json", data.report)
        folder.write_lines("bad_rows.jsonl", [dataclasses.asdict(row) for row in data.bad_rows])
        if first == 0 and job.trainable == "lora" and origin.folder is None:
            results.save_base(folder.path / "base", frozen, origin, data.tokenizer, job.model.dtype)
        tracker = open_tracker(job.track, folder.path, name=job.name, settings=dataclasses.asdict(job))
        metrics = Metrics(folder.path, after=first, tracker=tracker)

        # ---------------------------------------------------------------- one program for the whole run
        def batch_of(step: int) -> Batch:
            part = (jax.process_index(), jax.process_count())
            size, parts = training.batch_rows, training.micro_batches
            rows = micro_batches(data.train, step, seed=job.seed, size=size, parts=parts, part=part)
            return sharding.put_batch(rows, mesh)

        progress.phase("compiling")
        # A compiled program never compiles again: it refuses what does not fit it.
        step_function = jax.jit(train_step(plan.graph, adamw, job.seed), donate_argnums=0)
        program = step_function.lower(now, frozen, batch_of(first)).compile()
        held_out = HeldOut(data.held_out, plan.graph, now.trained, frozen, micro_rows, mesh) if data.held_out else None
        rates = np.asarray(optimizer.schedule(job.optimizer, steps)(jnp.arange(steps)))
        cost, peak = flops.per_token(job, origin.shape), flops.peak_flops(jax.devices())
        recorder = Recorder(job, steps, rates, cost, peak, metrics, progress)
        folder.write_environment([device.device_kind for device in jax.devices()])

        # ---------------------------------------------------------------- the loop
        progress.phase("training")
        with checkpoints, metrics, jax.transfer_guard("disallow"):
            if held_out and first == 0:
                recorder.held_out(0, *held_out.loss(now.trained, frozen))
            recorder.start_clock()
            late = None
            for step in range(first + 1, steps + 1):
                now, measured = program(now, frozen, batch_of(step - 1))
                if late:
                    recorder.step(*late)
                late = (step, measured)
                evaluating = step == steps or due(step, training.eval_every)
                saving = step == steps or due(step, training.checkpoint_every)
                if evaluating or saving:
                    recorder.step(*late)
                    late = None
                    if evaluating and held_out:
                        recorder.held_out(step, *held_out.loss(now.trained, frozen))
                    if saving:
                        metrics.flush()
                        checkpoints.save(step, now)
                    recorder.start_clock()

        # ---------------------------------------------------------------- what the run leaves behind
        progress.phase("saving")
        made = results.save(folder, job, now.trained, origin, identity, data)
        loss_plot(str(folder.path / "metrics.jsonl"), str(folder.path / "loss.png"), job.name)
        run_report.write(folder)
        folder.finish(made.name, identity.get("start"))
    print(folder.summary())


def due(step: int, every: int) -> bool:
    """Whether something done each `every` steps (0: never) is done after this one."""
    return every > 0 and step % every == 0


if __name__ == "__main__":
    sys.exit(main())
