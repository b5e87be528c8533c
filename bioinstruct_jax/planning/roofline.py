"""The least time a step can take: what it computes, reads and sends, over what the chips can do in a second.

An estimate from published peaks, which no program reaches: a bound from below, good for comparing slices and for seeing
what a job waits for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp

from bioinstruct_jax.config import Shape, Train
from bioinstruct_jax.model.weights import base_weights, byte_count, lora_weights, parameter_count
from bioinstruct_jax.planning.chips import Chip
from bioinstruct_jax.planning.traffic import Collective
from bioinstruct_jax.training import flops


@dataclass(frozen=True)
class Work:
    """What one step asks of one chip.

    Attributes:
        flops: executed, with what rematerialisation computes again.
        read: bytes between memory and the products that cannot be avoided.
        sent: bytes sent to chips of the same slice.
        sent_between: bytes sent to other slices.
    """

    flops: float
    read: float
    sent: float
    sent_between: float


@dataclass(frozen=True)
class Time:
    """Seconds of a step: the longest of what runs side by side, and which that is."""

    compute: float
    memory: float
    network: float | None
    between_slices: float | None

    @property
    def parts(self) -> dict[str, float]:
        """Seconds by what takes them."""
        return {
            "compute": self.compute,
            "memory": self.memory,
            "network": self.network or 0.0,
            "network between slices": self.between_slices or 0.0,
        }

    @property
    def step(self) -> float:
        return max(self.parts.values())

    @property
    def bound(self) -> str:
        """compute, memory, network, or network between slices."""
        return max(self.parts, key=lambda name: self.parts[name])


def tokens(job: Train) -> int:
    """Slots for tokens in one optimizer step, padding among them."""
    return job.training.batch_rows * job.data.length


def work(job: Train, shape: Shape, chips: int, tensor: int, collectives: Sequence[Collective], chip: Chip) -> Work:
    """One chip's share of a step.

    The bytes read are a floor: in each micro-batch every base weight of the chip's part of ``tensor`` is read for the
    forward pass, for the gradient of activations and, where layers are computed again, a third time; the layers' inputs
    are written and read; gradient and moments of the trained weights are read and written once a step.

    Args:
        chips: that share the step.
        tensor: size of that axis of the mesh.
        collectives: of one device.
    """
    executed = flops.per_token(job, shape).executed * tokens(job) / chips
    dtype = job.model.dtype
    adapter = lora_weights(shape, job.lora) if job.trainable == "lora" else {}
    read = byte_count(base_weights(shape, job.model.quantize) | adapter, dtype)
    trained = parameter_count(adapter or base_weights(shape))
    passes = 2 if job.model.remat == "none" else 3
    weights = passes * job.training.micro_batches * read / tensor * chip.devices
    width = jnp.dtype(dtype).itemsize
    activations = 2 * shape.num_hidden_layers * shape.hidden_size * width * tokens(job) / chips
    optimizer = 7 * 4 * trained / chips  # gradient read; weight and two moments read and written, float32
    sent = chip.devices * sum(one.sent * one.times for one in collectives if not one.between_slices)
    between = chip.devices * sum(one.sent * one.times for one in collectives if one.between_slices)
    return Work(executed, weights + activations + optimizer, sent, between)


def time(work: Work, chip: Chip) -> Time:
    """Seconds of each kind of work at the chip's peaks. A network whose speed is not published is left out as None."""
    return Time(
        work.flops / chip.flops,
        work.read / chip.memory_bandwidth,
        work.sent / chip.network if chip.network else None,
        work.sent_between / chip.between_slices if chip.between_slices else None,
    )
