"""Memory of a step on one GPU, by formula: an estimate where there is no compiler to ask."""

import jax.numpy as jnp

from bioinstruct_jax.config import Shape, Train
from bioinstruct_jax.model.weights import base_weights, lora_weights, parameter_count
from bioinstruct_jax.planning.compile import Memory


def memory(job: Train, shape: Shape) -> Memory:
    """Bytes of the job's step on one device.

    Arguments are exact: the base in its own type; weights that are trained in float32 with two moments; the rows.
    Temporaries are the gradient in float32, what the backward pass of one micro-batch keeps (each layer's input, or
    with remat ``none`` all that its products read), one layer at work with the scores of plain attention
    [heads, length, length] in float32 and in the products' type, and logits with their gradient in float32.
    """
    width = jnp.dtype(job.model.dtype).itemsize
    base = parameter_count(base_weights(shape))
    trained = parameter_count(lora_weights(shape, job.lora)) if job.trainable == "lora" else base
    frozen = base * width if job.trainable == "lora" else 0
    rows = job.training.batch_rows // job.training.micro_batches
    arguments = frozen + 3 * 4 * trained + 4 * 4 * job.training.batch_rows * job.data.length
    slots = rows * job.data.length
    heads = shape.num_attention_heads * shape.head_size
    values = 2 * shape.key_value_heads * shape.head_size
    layer = slots * width * (4 * shape.hidden_size + 2 * heads + values + 3 * shape.intermediate_size)
    scores = rows * shape.num_attention_heads * job.data.length**2 * (4 + width)
    kept = slots * width * shape.hidden_size if job.model.remat == "full" else layer + scores
    logits = slots * (shape.vocab_size or 0) * 2 * 4
    temporaries = 4 * trained + shape.num_hidden_layers * kept + max(layer + 2 * scores, logits)
    return Memory(arguments, temporaries, arguments + temporaries)
