"""Instruction-tune a LLaMA: rows of text in, a run folder with adapter, metrics and checkpoints out.

Exit code: 0 done, 2 unusable settings or input, 3 loss not finite, 4 checkpoints cannot be written, 5 another process
of the job was lost, 75 told to stop (SIGTERM or the platform's notice) and saved, 130 interrupted (Ctrl-C) and saved.
After 4, 5, 75 and 130 the same command goes on.
"""

import contextlib
import dataclasses
import errno
import math
import signal
import sys
import traceback
from typing import Annotated

from pydantic import Field, model_validator

from bioinstruct_jax import files, platforms, settings
from bioinstruct_jax.config import Flag, Natural, Positive, Train, config
from bioinstruct_jax.interrupt import Interrupt, StoppedError, Terminated, leave
from bioinstruct_jax.resources import resource
from bioinstruct_jax.usage import Verb

EXAMPLES = (
    "",
    "my.yaml --name=second --optimizer.learning_rate=1e-4",
    "llama2_7b --training.steps=20 --training.epochs=null --lora.targets='[q_proj, v_proj]'",
    "llama2_7b --data.sources='[{path: mine.jsonl}, {path: seeds, weight: 2}]'",
    "runs/first/config.yaml --name=again --data.sources.0.weight=0.5",
)


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
UNUSABLE, DIVERGED, CANNOT_SAVE, LOST_PROCESS, PREEMPTED, INTERRUPTED = 2, 3, 4, 5, 75, 130


@config
class Options:
    """Options of one call, which no run folder remembers."""

    preview: Annotated[Natural, Field(description="print this many rows as the model will see them, then stop")] = 0
    accept_changes: Annotated[
        Flag, Field(description="go on with a run although settings, data, base or template changed since")
    ] = False
    distributed: Annotated[
        Flag,
        Field(description="one of several processes that the platform counts: TPU pod, Slurm, Open MPI, Kubernetes"),
    ] = False
    coordinator: Annotated[
        str | None, Field(pattern=r"^.+:\d+$", description="host:port of process 0, where no platform counts")
    ] = None
    processes: Annotated[Positive | None, Field(description="how many there are, with coordinator")] = None
    process: Annotated[Natural | None, Field(description="which of them this is, from 0, with coordinator")] = None

    @model_validator(mode="after")
    def _complete(self) -> "Options":
        given = [value is not None for value in (self.coordinator, self.processes, self.process)]
        if any(given) and not all(given):
            raise ValueError("coordinator, processes and process belong together: give all three or none")
        if self.process is not None and self.processes is not None and self.process >= self.processes:
            raise ValueError(f"process {self.process} is not one of {self.processes}: they count from 0")
        return self


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb; returns the exit code that the module names."""
    argv = sys.argv[1:] if argv is None else argv
    verb = Verb("train", " ".join((__doc__ or "").split()), EXAMPLES, default=resource("configs", "tiny.yaml"))
    many = False
    try:
        job, options = settings.load(argv, verb, Train, Options)
        platforms.settle(job.platform)
        if options.preview:
            from bioinstruct_jax.data.preview import print_preview
            from bioinstruct_jax.interop import hub_config

            if not job.tokenizer.path:  # else nothing of the base is read
                hub_config.check_there(job.model.weights, job.model.revision)
            print_preview(job, options.preview)
            return 0
        many = options.distributed or options.coordinator is not None
        with Interrupt(many) as interrupt:
            if many:
                from bioinstruct_jax.training import processes

                processes.join(options.coordinator, options.processes, options.process)
            run(job, interrupt, accept_changes=options.accept_changes)
        return 0
    except Exception as error:
        code, text = _ended(error, many)
    except KeyboardInterrupt as error:
        code = PREEMPTED if isinstance(error, Terminated) else INTERRUPTED
        text = "interrupted; the same command goes on from the newest checkpoint, or from the start if there is none"
    print(text, file=sys.stderr)
    if many:
        from bioinstruct_jax.training import processes

        if processes.awaited():
            leave(code)
    return code


def _ended(error: Exception, many: bool) -> tuple[int, str]:
    """Exit code and last words; raises what is nobody's input, disk, network or signal but a mistake of ours."""
    if isinstance(error, StoppedError):
        return (INTERRUPTED if error.signal == signal.SIGINT else PREEMPTED), str(error)
    import jax

    from bioinstruct_jax.training import processes
    from bioinstruct_jax.training.checkpoint import SaveError
    from bioinstruct_jax.training.recorder import DivergenceError

    codes = {DivergenceError: DIVERGED, SaveError: CANNOT_SAVE, ValueError: UNUSABLE, OSError: UNUSABLE}
    if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error):
        return UNUSABLE, (
            f"error: the devices have too little memory for this job ({str(error).strip().splitlines()[0]}). Raise "
            "training.micro_batches, or set model.remat full, a lower model.logits_mib or model.quantize; `plan` says "
            "what fits a slice"
        )
    if many and processes.lost(error):
        said = str(error).strip() or type(error).__name__
        return LOST_PROCESS, (
            f"error: another process of this job ended or cannot be reached ({said.splitlines()[0]}). "
            "Start all of them again: the run goes on from its newest checkpoint"
        )
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return CANNOT_SAVE, f"error: the run cannot write any more: {error}. Make room; the same command goes on"
    if files.from_bucket(error):
        return CANNOT_SAVE, (
            f"error: a bucket cannot be used: {type(error).__name__}: {error}. Look at login, quota and network; "
            "the same command goes on"
        )
    for kind, code in codes.items():
        if isinstance(error, kind):
            return code, f"error: {error}"
    if many:  # the others would wait for this process while it ends in its own time
        return 1, "".join(traceback.format_exception(error))
    raise error


def run(job: Train, interrupt: Interrupt, *, accept_changes: bool = False) -> None:
    """The job from its first step, or from its newest checkpoint, to its last.

    Args:
        interrupt: entered; it says when to stop early.
        accept_changes: go on although settings, data, base or template changed since the run began.

    Raises:
        ValueError: for settings, data or a run folder that cannot be used, with what to do.
        OSError: for a source, model or tokenizer that is not there, or a folder that cannot be written.
        DivergenceError: more steps than tolerated had a loss or gradient that is not finite.
        SaveError: more checkpoints than tolerated could not be written.
        StoppedError: it was told to stop, and has saved.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from bioinstruct_jax import run_folder
    from bioinstruct_jax.data import dataset
    from bioinstruct_jax.data.batch import micro_batches, row_numbers
    from bioinstruct_jax.inference import while_training
    from bioinstruct_jax.interop import base, hub_config, model_card, results, start
    from bioinstruct_jax.model.loss import Batch
    from bioinstruct_jax.reporting import run_report
    from bioinstruct_jax.reporting.plot import loss_plot
    from bioinstruct_jax.reporting.progress import Progress
    from bioinstruct_jax.training import flops, optimizer, processes, program, sharding, state
    from bioinstruct_jax.training.checkpoint import Checkpoints
    from bioinstruct_jax.training.held_out import HeldOut
    from bioinstruct_jax.training.metrics import Metrics, open_tracker
    from bioinstruct_jax.training.profile import Window, sentence
    from bioinstruct_jax.training.recorder import Recorder
    from bioinstruct_jax.training.watch import Best, Watch

    sharding.devices(job.platform)  # the first that asks JAX for its devices tells best if there are none
    writes = processes.first()
    if writes:  # the first process makes what the others look for
        folder = run_folder.open_run(job, accept_changes=accept_changes)
    processes.meet("run folder")
    if not writes:
        folder = run_folder.open_run(job, writes=False, accept_changes=accept_changes)
    if folder.finished:
        if writes:
            print(f"The run {folder.path} is finished; nothing was changed.\n{folder.summary()}")
        return

    with Progress(silent=not writes) as progress, contextlib.ExitStack() as stack:
        # ---------------------------------------------------------------- rows of tokens
        progress.phase("loading")
        hub_config.check_there(job.model.weights, job.model.revision)
        tasks = while_training.read(job)
        data = dataset.load(job, progress.within)
        fingerprints = {name: (data.report[name] or {}).get("fingerprint") for name in ("train", "held_out")}
        processes.check_same("data", str(fingerprints))
        for line in run_report.data_lines(data.report) + while_training.notes(job, tasks):
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
        made_of = {"base": origin.folder, "adapter": adapter.folder if adapter else None}
        data.report["restricted_before"] = model_card.made_of_restricted(made_of)
        plan = state.plan(job, origin.shape, mesh)
        micro_rows = training.batch_rows // training.micro_batches
        sharding.check_divisible(mesh, origin.shape, plan.weights, micro_rows)
        trained, frozen = base.place(job, plan, origin, adapter)
        identity = base.identity(job, plan, origin, trained, frozen)
        adamw = optimizer.make_optimizer(job.optimizer, steps)
        now = state.start(trained, adamw, mesh)
        del trained  # its buffers are the state's, which every step gives away

        # ---------------------------------------------------------------- where an earlier process left off
        about = {"base": identity, "template": data.template.hash, "steps": steps} | fingerprints
        lora = job.lora if job.trainable == "lora" else None
        about["adapter"] = {"rank": lora.rank, "targets": sorted(lora.targets)} if lora else None
        checkpoints = Checkpoints(
            folder.path / "checkpoints",
            training.keep_checkpoints,
            about,
            settings=settings.dump(job),
            best=training.best,
            highest=while_training.highest(tasks, training.best),
            failures=training.save_failures,
            say=progress.note,
        )
        now = checkpoints.restore(now, accept_changes=accept_changes) or now
        first = int(jax.device_get(now.step))
        if accept_changes:
            folder.keep_settings(job)
        noted = folder.metrics_up_to(first)
        watch, best = Watch(noted), Best(training.best or "", highest=checkpoints.highest, rows=noted)
        if first:
            progress.note(f"going on from step {first:,}")
        processes.meet("metrics read")
        folder.write_json("data.json", data.report)
        folder.write_lines("rows.jsonl", [{"row": i, "records": ids} for i, ids in enumerate(data.members)])
        folder.write_lines("bad_rows.jsonl", [dataclasses.asdict(row) for row in data.bad_rows])
        if first == 0 and job.trainable == "lora" and origin.folder is None:
            whole = base.unquantized(job, origin, mesh, frozen)
            results.save_base(folder.path / "base", whole, origin, data.tokenizer, job.model.dtype)
            del whole
        metrics = None
        if writes:
            tracker = open_tracker(job.track, folder.path, name=job.name, settings=dataclasses.asdict(job))
            metrics = stack.enter_context(Metrics(folder.path, after=first, tracker=tracker))

        # ---------------------------------------------------------------- one program for the whole run
        def batch_of(step: int) -> Batch:
            size, parts = training.batch_rows, training.micro_batches
            return sharding.put_batch(micro_batches(data.train, step, seed=job.seed, size=size, parts=parts), mesh)

        progress.phase("compiling")
        options = program.compiler_options(job, mesh)
        run_step = program.lower(job, plan, adamw, mesh).compile(options)
        held_out = None
        if data.held_out:
            held_out = HeldOut(data.held_out, plan.graph, now.trained, frozen, micro_rows, mesh, options)
        scored = while_training.Scored(job, tasks, data, origin, mesh, progress.note) if tasks else None
        rates = np.asarray(optimizer.schedule(job.optimizer, steps)(jnp.arange(steps)))
        cost, peak = flops.per_token(job, origin.shape), flops.peak_flops(jax.devices())

        def rows_of(step: int) -> list[int]:
            return row_numbers(len(data.train.tokens), step - 1, seed=job.seed, size=training.batch_rows)

        recorder = Recorder(
            job, steps, rates, cost, peak, metrics, progress, watch, rows_of, lambda: checkpoints.newest
        )
        devices = [device.device_kind for device in jax.devices()]
        folder.write_environment(devices, dict(mesh.shape), jax.process_count(), options)

        # ---------------------------------------------------------------- the loop
        progress.phase("training")
        window = Window(folder.path / "profile", run_step, training.profile_after, training.profile_steps * writes)
        with checkpoints, window, jax.transfer_guard("disallow"):
            if held_out and first == 0:
                recorder.held_out(0, *held_out.loss(now.trained, frozen))
            if scored and first == 0:
                recorder.scores(0, scored.at(0, now.trained, frozen))
            interrupt.arm()
            recorder.start_clock()
            late = None
            for step in range(first + 1, steps + 1):
                if watch.exhausted(training.early_stopping):
                    progress.note(f"step {step - 1:,}: no lower held-out loss in {watch.since_best}: stopped early")
                    break
                if spent := window.before_step(now):
                    progress.note(sentence(spent))
                now, measured = run_step(now, frozen, batch_of(step - 1))
                if late:
                    recorder.step(*late)
                late = (step, measured)
                checkpoints.check()
                stopping = interrupt.due(step)
                evaluating = step == steps or due(step, training.eval_every)
                scoring = step == steps or due(step, job.evaluation.every(training.eval_every))
                saving = stopping or step == steps or due(step, training.checkpoint_every)
                if evaluating or saving or (scoring and scored):
                    recorder.step(*late)
                    late = None
                    if evaluating and held_out:
                        lowest = recorder.held_out(step, *held_out.loss(now.trained, frozen))
                        ending = watch.exhausted(training.early_stopping)
                        saving = saving or ending or (lowest and training.best == "held_out_loss")
                        scoring = scoring or ending
                    if scoring and scored:
                        values = scored.at(step, now.trained, frozen)
                        recorder.scores(step, values)
                        saving = best.note(values) or saving
                    if saving:
                        checkpoints.save(step, now, recorder.values, before=metrics.flush if metrics else None)
                    if stopping:
                        checkpoints.settle()
                        raise StoppedError(interrupt.received or signal.SIGTERM, step)
                    recorder.start_clock()
            if spent := window.end(now):
                progress.note(sentence(spent))

        # ---------------------------------------------------------------- what the run leaves behind
        progress.phase("saving")
        interrupt.armed = False
        if training.best:
            now = checkpoints.restore_best(now)
        made = results.save(folder, job, now.trained, origin, identity, data)
        if metrics:
            metrics.flush()
            loss_plot(str(folder.path / "metrics.jsonl"), str(folder.path / "loss.png"), job.name)
            run_report.write(folder)
            folder.finish(made.name, identity.get("start"), int(jax.device_get(now.step)))
            print(folder.summary())
        processes.meet("finished")


def due(step: int, every: int) -> bool:
    """Whether something done each `every` steps (0: never) is done after this one."""
    return every > 0 and step % every == 0


if __name__ == "__main__":
    sys.exit(main())
