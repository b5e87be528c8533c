"""FLOPs of a training step by formula, and the peaks of the chips they are measured against.

XLA's own count takes a scanned layer once, so it is not used. A multiply-add is two FLOPs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax

from bioinstruct_jax.config import Shape, Train
from bioinstruct_jax.model.weights import base_weights, lora_weights, parameter_count

# Dense bf16 TFLOP/s of one device as JAX counts them, from the vendors' data sheets.
PEAK_TFLOPS = {
    "TPU v4": 275.0,
    "TPU v5 lite": 197.0,
    "TPU v5": 459.0,
    "TPU v5p": 459.0,
    "TPU v6 lite": 918.0,
    "TPU v6e": 918.0,
    "TPU7x": 2307.0 / 2,  # a chip has two devices
    "NVIDIA A100": 312.0,
    "NVIDIA H100": 989.0,
    "NVIDIA H200": 989.0,
}


@dataclass(frozen=True)
class StepFlops:
    """FLOPs of one token of a packed row.

    Attributes:
        useful: what the result needs (for MFU): forward, gradient of activations, gradient of trained weights.
        executed: with what rematerialisation computes a second time (for HFU).
    """

    useful: float
    executed: float


def per_token(config: Train, shape: Shape) -> StepFlops:
    """FLOPs for each token of a row of ``data.length`` tokens.

    Products with the N weights of the base (embedding look-up left out, head counted) cost 2N forward and 2N for the
    gradient of activations; the gradient of a trained weight costs 2 for each of its numbers, so LoRA is 4N + 6 times
    the adapter, full fine-tuning 6N. Attention scores and values over full-length causal rows cost
    2 * length * heads * head size forward (half of the square) and twice that backward. The head is counted for every
    token and once; a loss in turns forms the logits of targets alone, but twice.
    """
    products = parameter_count({path: w for path, w in base_weights(shape).items() if w.kind == "kernel"})
    head = shape.hidden_size * (shape.vocab_size or 0)
    if shape.tie_word_embeddings:
        products += head
    attention = 2 * config.data.length * shape.num_attention_heads * shape.head_size * shape.num_hidden_layers
    if config.trainable == "lora":
        trained = parameter_count(lora_weights(shape, config.lora))
        forward, backward = 2 * (products + trained) + attention, 2 * products + 4 * trained + 2 * attention
    else:
        forward, backward = 2 * products + attention, 4 * products + 2 * attention
    again = {"none": 0, "attention": forward - 2 * head - attention}.get(config.model.remat, forward - 2 * head)
    return StepFlops(useful=float(forward + backward), executed=float(forward + backward + again))


def peak_flops(devices: Sequence[jax.Device]) -> float | None:
    """Dense bf16 FLOP/s of all devices together, or None where the kind is not in the table (as for every CPU)."""
    kind = devices[0].device_kind
    matches = [name for name in PEAK_TFLOPS if kind.startswith(name)]
    return PEAK_TFLOPS[max(matches, key=len)] * 1e12 * len(devices) if matches else None
