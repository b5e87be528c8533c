"""FLOPs by formula: 4N for LoRA, 6N for full tuning, attention and recomputation beside."""

from dataclasses import replace

import pytest

from bioinstruct_jax.config import Lora, Shape
from bioinstruct_jax.training.flops import per_token
from tests.small import job

SEVEN_B = Shape(
    vocab_size=32000,
    hidden_size=4096,
    intermediate_size=11008,
    num_hidden_layers=32,
    num_attention_heads=32,
    max_position_embeddings=4096,
)
PRODUCTS = 6_738_415_616 - 32000 * 4096 - 65 * 4096  # all of Llama-2-7B but its embedding and its norms


def _job(**changes):
    this = job(shape=SEVEN_B, lora=Lora(rank=16), **changes)
    return replace(this, data=replace(this.data, length=2048))


def test_lora_costs_four_flops_a_weight_and_full_tuning_six():
    attention = 3 * 2 * 2048 * 4096 * 32
    trained = 39_976_960  # r 16 on all seven projections
    assert per_token(_job(), SEVEN_B).useful == 4 * PRODUCTS + 6 * trained + attention
    assert per_token(_job(trainable="all"), SEVEN_B).useful == 6 * PRODUCTS + attention


def test_recomputation_counts_as_executed_only():
    # Mutation: MFU from executed FLOPs would overstate it by nearly half.
    kept, again = _job(), _job(model=replace(job(shape=SEVEN_B).model, remat="full"))
    assert per_token(kept, SEVEN_B).executed == per_token(kept, SEVEN_B).useful
    assert per_token(again, SEVEN_B).useful == per_token(kept, SEVEN_B).useful
    assert per_token(again, SEVEN_B).executed / per_token(again, SEVEN_B).useful == pytest.approx(1.5, abs=0.05)
