"""Memory of a step on one GPU, by formula: an estimate where there is no compiler to ask."""

import jax.numpy as jnp

from bioinstruct_jax.config import Shape, Train
from bioinstruct_jax.model.weights import base_weights, byte_count, lora_weights, parameter_count
from bioinstruct_jax.planning.compile import Memory


def memory(job: Train, shape: Shape) -> Memory:
    """Bytes of the job's step on one device.

    Arguments are exact: the base in its own type, quantised or not; weights that are trained in float32 with two
    moments; the rows.
    Temporaries are the gradient in float32, what the backward pass of one micro-batch keeps on the device (with remat
    ``full`` each layer's input, with ``attention`` its output too, with ``none`` all that products read, with
    ``offload`` nothing), one layer at work, with model.attention ``reference`` the scores [heads, length, length] in
    float32 and in the products' type, and logits with their gradient in float32, as far as model.logits_mib lets them.
    """
    width = jnp.dtype(job.model.dtype).itemsize
    lora = job.trainable == "lora"
    trained = parameter_count(lora_weights(shape, job.lora) if lora else base_weights(shape))
    frozen = byte_count(base_weights(shape, job.model.quantize), job.model.dtype) if lora else 0
    rows = job.training.batch_rows // job.training.micro_batches
    arguments = frozen + 3 * 4 * trained + 4 * 4 * job.training.batch_rows * job.data.length
    slots = rows * job.data.length
    heads = shape.num_attention_heads * shape.head_size
    values = 2 * shape.key_value_heads * shape.head_size
    layer = slots * width * (4 * shape.hidden_size + 2 * heads + values + 3 * shape.intermediate_size)
    scores = rows * shape.num_attention_heads * job.data.length**2 * (4 + width)
    if job.model.attention != "reference":  # a kernel holds none of them
        scores = 0
    inputs = slots * width * shape.hidden_size
    kept = {"full": inputs, "attention": inputs + slots * width * heads, "offload": 0, "none": layer + scores}
    logits = 2 * min(slots * (shape.vocab_size or 0) * 4, int(job.model.logits_mib * 2**20))
    temporaries = 4 * trained + shape.num_hidden_layers * kept[job.model.remat] + max(layer + 2 * scores, logits)
    return Memory(arguments, temporaries, arguments + temporaries)
