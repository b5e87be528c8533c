"""Times by hand for Llama-2-7B, and memory by formula."""

from dataclasses import replace

import pytest

from bioinstruct_jax.config import Lora, Training
from bioinstruct_jax.planning import arithmetic, roofline
from bioinstruct_jax.planning.chips import CHIPS
from bioinstruct_jax.planning.traffic import Collective
from tests.small import job
from tests.training.test_flops import PRODUCTS, SEVEN_B

BASE, ADAPTER = 6_738_415_616, 39_976_960  # numbers of Llama-2-7B; of r 16 on all seven projections


def seven_b(remat: str = "full", rows: int = 16, parts: int = 2):
    this = job(shape=SEVEN_B, lora=Lora(rank=16), training=Training(steps=10, batch_rows=rows, micro_batches=parts))
    model = replace(this.model, dtype="bfloat16", remat=remat)
    return replace(this, model=model, data=replace(this.data, length=2048))


def test_a_step_of_7b_on_eight_chips_by_hand():
    # Mutations: useful FLOPs instead of executed; `times` left out; micro-batches left out; both networks in one.
    sent = (Collective("all-gather", 8, 1e9, 64, False), Collective("all-reduce", 16, 2e6, 1, True))
    work = roofline.work(seven_b(), SEVEN_B, 8, 1, sent, CHIPS["v5e"])
    tokens, attention = 16 * 2048, 2 * 2048 * 4096 * 32
    forward, backward = 2 * (PRODUCTS + ADAPTER) + attention, 2 * PRODUCTS + 4 * ADAPTER + 2 * attention
    again = forward - 2 * 4096 * 32000
    assert work.flops == pytest.approx((forward + backward + again) * tokens / 8)
    read = 3 * 2 * (BASE + ADAPTER) * 2 + 2 * 32 * 4096 * 2 * tokens / 8 + 28 * ADAPTER / 8
    assert work.read == pytest.approx(read)
    assert (work.sent, work.sent_between) == (64e9, 2e6)
    time = roofline.time(work, CHIPS["v5e"])
    assert time.compute == pytest.approx(work.flops / 197e12)
    assert time.memory == pytest.approx(work.read / 0.819e12)
    assert time.network == pytest.approx(64e9 / 200e9)
    assert time.between_slices == pytest.approx(2e6 / 3.125e9)
    assert (time.step, time.bound) == (time.compute, "compute")


@pytest.mark.parametrize(
    ("work", "bound"),
    [
        (roofline.Work(1e15, 1, 1, 1), "compute"),
        (roofline.Work(1, 1e13, 1, 1), "memory"),
        (roofline.Work(1, 1, 1e12, 1), "network"),
        (roofline.Work(1, 1, 1, 1e12), "network between slices"),
    ],
)
def test_the_longest_part_is_the_bound(work, bound):
    time = roofline.time(work, CHIPS["v5e"])
    assert time.bound == bound
    assert time.step == time.parts[bound]


def test_a_chip_of_two_devices_sends_what_both_send():
    # Mutation: `devices` left out for a TPU7x.
    sent = (Collective("all-gather", 16, 1e9, 2, False),)
    assert roofline.work(seven_b(), SEVEN_B, 8, 1, sent, CHIPS["tpu7x"]).sent == 4e9


def test_a_network_nobody_published_is_not_guessed():
    time = roofline.time(roofline.Work(1e12, 1, 1, 1e15), CHIPS["v4"])
    assert time.between_slices is None
    assert time.bound == "compute"


def test_memory_of_one_gpu_by_hand():
    # Mutations: moments forgotten; rows of the whole step instead of a micro-batch; remat ignored.
    found = arithmetic.memory(seven_b(), SEVEN_B)
    assert found.arguments == 2 * BASE + 12 * ADAPTER + 16 * 16 * 2048
    slots = 8 * 2048
    layer = slots * 2 * (4 * 4096 + 2 * 4096 + 2 * 4096 + 3 * 11008)
    peak = max(layer, 2 * 256 * 2**20)
    assert found.temporaries == 4 * ADAPTER + 32 * slots * 2 * 4096 + peak
    assert found.peak == found.arguments + found.temporaries
    assert arithmetic.memory(seven_b("none"), SEVEN_B).temporaries == 4 * ADAPTER + 32 * layer + peak
    scores = 8 * 32 * 2048**2 * 6
    plain = seven_b("none")
    plain = replace(plain, model=replace(plain.model, attention="reference", logits_mib=1e6))
    peak = max(layer + 2 * scores, slots * 32000 * 8)
    assert arithmetic.memory(plain, SEVEN_B).temporaries == 4 * ADAPTER + 32 * (layer + scores) + peak
    nf4 = replace(seven_b(), model=replace(seven_b().model, quantize="nf4"))
    kept = 2 * (2 * 32000 * 4096 + 65 * 4096)  # embedding, head and norms
    assert arithmetic.memory(nf4, SEVEN_B).arguments == (
        kept + (2 * BASE - kept) // 2 * (1 / 2 + 4 / 64) + 12 * ADAPTER + 16 * 16 * 2048
    )
    whole = replace(seven_b(), trainable="all")
    assert arithmetic.memory(whole, SEVEN_B).arguments == 12 * BASE + 16 * 16 * 2048
