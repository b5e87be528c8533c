"""Merge an adapter into its base as a model for transformers, vLLM and others, or ask if vLLM takes the adapter.

Exit code: 0 done, 1 vLLM would refuse the adapter (with --check_vllm), 2 unusable input, 130 interrupted.
"""

import contextlib
import sys
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bioinstruct_jax import platforms, settings
from bioinstruct_jax.config import Flag, Float, Positive, config
from bioinstruct_jax.usage import Verb

EXAMPLES = (
    "--adapter=runs/tiny --out=merged/tiny",
    "--adapter=my/adapter --base=/models/llama-2-7b --out=merged/mine --dtype=float16 --max_shard_gb=2",
    "--adapter=runs/tiny --check-vllm --max_lora_rank=64",
)


@config
class Export:
    """An export."""

    adapter: Annotated[
        str, Field(min_length=1, description="adapter in PEFT form: its folder, a run folder, a bucket URL or a hub id")
    ]
    base: Annotated[
        str | None, Field(min_length=1, description="folder, bucket URL or hub id; null: the one the adapter names")
    ] = None
    out: Annotated[str | None, Field(min_length=1, description="folder for the merged model; new or empty")] = None
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        Field(description="of the merged weights; null: as the base's files. The merge itself is float32"),
    ] = None
    max_shard_gb: Annotated[Float, Field(gt=0, description="largest weight file, in 10^9 bytes")] = 5.0
    check_vllm: Annotated[
        Flag, Field(description="say whether vLLM would load the adapter unmerged, and if not, exit with 1")
    ] = False
    max_lora_rank: Annotated[Positive, Field(description="what vLLM will be started with, for --check_vllm")] = 16

    @model_validator(mode="after")
    def _something_to_do(self) -> "Export":
        if self.out is None and not self.check_vllm:
            raise ValueError("nothing to do: give --out=FOLDER for a merged model, --check_vllm, or both")
        if self.out is None and (self.base, self.dtype) != (None, None):
            raise ValueError("base and dtype mean nothing without --out=FOLDER")
        return self


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        job, _ = settings.load(
            argv, Verb("export", " ".join((__doc__ or "").split()), EXAMPLES), Export, settings.NoExtras
        )
        platforms.settle("auto")
        return run(job)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command starts the export again", file=sys.stderr)
        return 130


def run(job: Export) -> int:
    """Both things that are asked for; returns 1 if vLLM would refuse the adapter, else 0.

    Raises:
        ValueError: for files or a folder that cannot be used, with what to do.
        OSError: for an adapter or base that is not there, or a folder that cannot be written.
    """
    refused = False
    if job.check_vllm:
        from bioinstruct_jax.interop import locate, vllm_check

        adapter = locate.adapter(job.adapter)
        problems = vllm_check.problems(adapter, job.max_lora_rank)
        refused = bool(problems)
        print(f"vLLM would {'not load' if refused else 'load'} {adapter} with max_lora_rank {job.max_lora_rank}")
        for problem in problems:
            print(f"  - {problem}")
    if job.out is not None:
        merge_into(job.out, job)
    return int(refused)


def merge_into(name: str, job: Export) -> None:
    """The merged model in the folder `name`, written, read back and compared; raises as `run` does."""
    import numpy as np

    from bioinstruct_jax import files
    from bioinstruct_jax.interop import (
        hub_config,
        hub_weights,
        locate,
        merge,
        merged_folder,
        model_card,
        peft_adapter,
        wording,
    )
    from bioinstruct_jax.model.weights import base_weights, lora_weights
    from bioinstruct_jax.reporting.progress import Progress

    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(Progress())
        # ---------------------------------------------------------------- what is merged
        adapter = locate.adapter(job.adapter)
        base = locate.base(job.base, adapter)
        out = files.path(name)
        merged_folder.check(out, {"the adapter": adapter, "the base": base})
        shape = hub_config.read_shape(base)
        lora, arrays = peft_adapter.load(adapter, shape)
        work = merge.Merge(base, shape, lora, arrays)
        dtype = np.dtype(job.dtype) if job.dtype else merge.usual_dtype(base)
        words = wording.read(adapter, base)
        generation, rows = wording.generation(words, base), merged_folder.rows(words, shape)
        progress.note(f"{adapter}\ninto {base}, as {dtype.name}")
        for note in wording.notes(words, shape.vocab_size or 0):
            progress.note(f"note: {note}")

        # ---------------------------------------------------------------- base + adapter: two products
        progress.phase("reading the base")
        mesh = merge.device_mesh(shape)
        weights = merge.load_base(work, mesh)
        base_sha256 = hub_weights.base_hash(weights, base_weights(shape))
        plain = merge.logits(shape, weights, None, rows, mesh)
        expected = merge.logits(shape, weights | merge.load_adapter(work, mesh), lora, rows, mesh)
        del weights  # the merged ones take their place

        # ---------------------------------------------------------------- merged: one product, written and read back
        progress.phase("merging")
        stack.enter_context(merged_folder.writing(out))
        merged_folder.begin(out)
        written = merge.save(out, work, dtype, max_shard_bytes=int(job.max_shard_gb * 10**9))
        wording.write(out, words)
        progress.phase("reading back")
        weights = merge.read_back(out, work, dtype, written, mesh)
        found = merge.gap(merge.logits(shape, weights, None, rows, mesh), expected, plain, dtype)
        card = model_card.merged_card(
            base=job.base or locate.recorded_base(adapter) or "",
            base_sha256=base_sha256,
            adapter=job.adapter,
            adapter_sha256=hub_weights.base_hash(arrays, lora_weights(shape, lora)),
            lora=lora,
            dtype=dtype.name,
            sha256=written.so_far[-1][1],
            gap=found.lines(),
            restricted=model_card.made_of_restricted({"base": base, "adapter": adapter}),
        )
        merged_folder.finish(out, shape, generation, dtype.name, card)
    print("\n".join([*found.lines(), f"merged model: {out}"]))


if __name__ == "__main__":
    sys.exit(main())
