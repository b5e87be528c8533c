"""The train step as it is given to XLA: one description for the run and for the plan of a slice nobody has rented."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from bioinstruct_jax.config import Train
from bioinstruct_jax.data.rows import DTYPES
from bioinstruct_jax.model.loss import Batch
from bioinstruct_jax.model.weights import AnyMesh
from bioinstruct_jax.training import recipes
from bioinstruct_jax.training.sharding import STEP_BATCH
from bioinstruct_jax.training.state import Plan, State, state_shardings
from bioinstruct_jax.training.step import train_step


def abstract_state(plan: Plan, optimizer: optax.GradientTransformation, mesh: AnyMesh) -> State:
    """What `state.start` will make, as shapes with shardings."""
    shapes, shardings = jax.eval_shape(optimizer.init, plan.trained), state_shardings(plan.trained, optimizer, mesh)
    moments = jax.tree.map(_struct, shapes, shardings)
    step: Any = _struct(jax.ShapeDtypeStruct((), jnp.int32), jax.NamedSharding(mesh, jax.P()))
    return State(step, plan.trained, moments)


def abstract_batch(job: Train, mesh: AnyMesh) -> Batch:
    """One step's rows, [micro-batches, rows, tokens] each, as `sharding.put_batch` lays them on the mesh."""
    parts = job.training.micro_batches
    shape = (parts, job.training.batch_rows // parts, job.data.length)
    sharding = jax.NamedSharding(mesh, STEP_BATCH)
    arrays: Any = {name: jax.ShapeDtypeStruct(shape, DTYPES[name], sharding=sharding) for name in Batch._fields}
    return Batch(**arrays)


def traced(job: Train, plan: Plan, optimizer: optax.GradientTransformation, mesh: AnyMesh) -> jax.stages.Traced:
    """The job's train step on `mesh`, whose devices need not be attached nor, if it is abstract, be any; its state is
    donated.

    Args:
        plan: of the job on `mesh`.
        optimizer: as it will be used; its schedule is part of the program.
    """
    now, batch = abstract_state(plan, optimizer, mesh), abstract_batch(job, mesh)
    abstract = isinstance(mesh, jax.sharding.AbstractMesh)
    with jax.sharding.use_abstract_mesh(mesh) if abstract else jax.set_mesh(mesh):  # type: ignore[arg-type]
        return jax.jit(train_step(plan.graph, optimizer, job.seed), donate_argnums=0).trace(now, plan.frozen, batch)


def lower(
    job: Train, plan: Plan, optimizer: optax.GradientTransformation, mesh: jax.sharding.Mesh
) -> jax.stages.Lowered:
    """`traced`, for the devices of `mesh`.

    Returns:
        What takes (state, frozen, batch) once compiled. A compiled program never compiles again: it refuses what does
        not fit it.
    """
    step = traced(job, plan, optimizer, mesh)
    with jax.set_mesh(mesh):
        return step.lower()


def compiler_options(job: Train, mesh: jax.sharding.Mesh) -> dict[str, str | bool]:
    """What to give to ``.compile`` of any program of the job on the devices of `mesh`."""
    device = mesh.devices.flat[0]
    return recipes.compiler_options(device.platform, device.device_kind, job.deterministic)


def _struct(like: jax.ShapeDtypeStruct, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(like.shape, like.dtype, sharding=sharding)
