"""The mesh, made here and nowhere else, and how a batch lies on it."""

from collections.abc import Sequence

import jax
import numpy as np
from jax import P
from jax.experimental import mesh_utils
from jax.sharding import AxisType

from bioinstruct_jax.config import Mesh, Shape
from bioinstruct_jax.model.loss import Batch
from bioinstruct_jax.model.quantize import BLOCK
from bioinstruct_jax.model.weights import BATCH, AnyMesh, Weight

AXES = ("data", "fsdp", "tensor")
STEP_BATCH = P(None, BATCH, None)  # [micro-batches, rows, tokens]


def devices(platform: str) -> list[jax.Device]:
    """This job's devices. Raises ValueError if JAX finds none of the platform asked for."""
    try:
        return jax.devices()
    except (RuntimeError, AssertionError) as error:
        extra = {"gpu": "cuda", "tpu": "tpu"}.get(platform)
        advice = f"; install the extra: pip install 'bioinstruct-jax[{extra}]'" if extra else ""
        raise ValueError(f"platform {platform!r}: JAX finds no such device here ({error}){advice}") from error


def make_mesh(sizes: Mesh, devices: Sequence[jax.Device] | None = None) -> jax.sharding.Mesh:
    """A mesh with explicit axes ``data``, ``fsdp`` and ``tensor``.

    Args:
        sizes: devices along each axis, one of them possibly -1.
        devices: all of this job's by default; those of a topology with no chip attached will do. Several slices share
            the work along ``data`` alone, whose one exchange a step suits the slow network between them.

    Raises:
        ValueError: if the sizes do not multiply to the number of devices, or ``data`` to that of slices.
    """
    devices = jax.devices() if devices is None else devices
    wanted = [sizes.data, sizes.fsdp, sizes.tensor]
    known = int(np.prod([size for size in wanted if size > 0]))
    if -1 in wanted and len(devices) % known == 0:
        wanted[wanted.index(-1)] = len(devices) // known
    if int(np.prod(wanted)) != len(devices):
        raise ValueError(
            f"mesh data x fsdp x tensor = {sizes.data} x {sizes.fsdp} x {sizes.tensor} does not fit {len(devices)} "
            f"device(s): the sizes must multiply to {len(devices)}; give one of them as -1 to let it follow"
        )
    count = slices(devices)
    if count == 1:
        return jax.make_mesh(tuple(wanted), AXES, axis_types=(AxisType.Explicit,) * 3, devices=devices)
    if wanted[0] % count:
        raise ValueError(
            f"mesh.data = {wanted[0]} cannot be divided over {count} slices: only data runs between slices; "
            f"give mesh.data as {count} or a multiple of it"
        )
    within = (wanted[0] // count, wanted[1], wanted[2])
    array = mesh_utils.create_hybrid_device_mesh(within, (count, 1, 1), devices)
    return jax.sharding.Mesh(array, AXES, axis_types=(AxisType.Explicit,) * 3)


def slices(devices: Sequence[jax.Device]) -> int:
    """How many TPU slices the devices belong to; 1 for all other devices."""
    return len({slice_of(device) for device in devices})


def slice_of(device: jax.Device) -> int:
    """Which TPU slice a device belongs to, from 0; other platforms count hosts under the same name."""
    return int(getattr(device, "slice_index", None) or 0) if device.platform == "tpu" else 0


def check_divisible(mesh: AnyMesh, shape: Shape, weights: dict[str, Weight], rows: int) -> None:
    """Refuse a mesh that cannot divide a weight, the heads or the rows of a micro-batch evenly.

    Raises:
        ValueError: naming the weight, the heads or the batch, their size and the mesh axis.
    """
    ways = mesh.shape["data"] * mesh.shape["fsdp"]
    if rows % ways:
        raise ValueError(
            f"training.batch_rows / training.micro_batches = {rows} rows cannot be divided over data x fsdp = {ways} "
            "devices"
        )
    if shape.key_value_heads % mesh.shape["tensor"]:
        raise ValueError(
            f"the base has {shape.key_value_heads} key/value heads, which cannot be divided over mesh.tensor = "
            f"{mesh.shape['tensor']}"
        )
    for path, weight in weights.items():
        for letter, size, axis in zip(weight.dims, weight.shape, weight.placed(mesh), strict=True):
            if isinstance(axis, str) and size % mesh.shape[axis]:
                blocks = f" (blocks of {BLOCK} inputs that share a scale, never cut)" if weight.kind == "scales" else ""
                raise ValueError(
                    f"{path}: dimension {letter} of size {size}{blocks} cannot be divided over "
                    f"mesh.{axis} = {mesh.shape[axis]}"
                )


def put_batch(arrays: dict[str, np.ndarray], mesh: jax.sharding.Mesh) -> Batch:
    """A whole step, [micro-batches, rows, tokens] each, on the mesh.

    Every process has all rows and lays down those of its own devices: which they are depends on the mesh, and devices
    that differ along ``tensor`` alone need the same, though they may be of different processes.
    """
    sharding = jax.NamedSharding(mesh, STEP_BATCH)

    def laid(rows: np.ndarray) -> jax.Array:
        return jax.make_array_from_callback(rows.shape, sharding, lambda where: rows[where])

    with jax.transfer_guard("allow"):  # of several processes it would seem a transfer that nobody asked for
        return Batch(**{name: laid(arrays[name]) for name in Batch._fields})
