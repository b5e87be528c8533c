"""Compiler options of a program, by the chip it is compiled for: one table for `train`, `plan` and launch scripts.

They are given to `.compile(compiler_options=...)`, so they belong to one program, are part of its key in the compile
cache, can be tried ahead of time without the chip, and no environment variable has to say them. A row that was not
measured by this project says so.
"""

from typing import NamedTuple


class Option(NamedTuple):
    """One option of XLA: its name without dashes, its value, and why it is here."""

    name: str
    value: str | bool
    reason: str


# The beginning of a `device_kind` -> options; the longest beginning that fits counts.
CHIPS: dict[str, tuple[Option, ...]] = {
    "TPU v6": (
        Option(
            "xla_tpu_scoped_vmem_limit_kib",
            "98304",
            "96 of the chip's 128 MiB of VMEM for one fusion, where the default is a fraction of it: the option that "
            "published v6e recipes share. Not measured here",
        ),
    ),
}

DETERMINISTIC: dict[str, tuple[Option, ...]] = {
    "gpu": (
        Option(
            "xla_gpu_deterministic_ops",
            True,
            "no kernel whose sum depends on timing, and none chosen by timing, so that a program compiled again, as by "
            "a run that goes on, adds in the same order. Slower; not measured here",
        ),
    ),
}


def recipe(platform: str, device_kind: str, deterministic: bool) -> tuple[Option, ...]:
    """The options of a program for one kind of device.

    Args:
        platform, device_kind: as JAX names them: "tpu" and "TPU v6 lite", "gpu" and "NVIDIA H200", "cpu" and "cpu".
        deterministic: the same bits from the same inputs each time; CPU and TPU programs need no option for that.
    """
    fitting = [beginning for beginning in CHIPS if device_kind.startswith(beginning)]
    chip = CHIPS[max(fitting, key=len)] if fitting else ()
    return chip + (DETERMINISTIC.get(platform, ()) if deterministic else ())


def compiler_options(platform: str, device_kind: str, deterministic: bool) -> dict[str, str | bool]:
    """What to give to `.compile(compiler_options=...)`; see `recipe`."""
    return {option.name: option.value for option in recipe(platform, device_kind, deterministic)}
