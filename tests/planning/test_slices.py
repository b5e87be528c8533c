"""Names of slices, and what the compiler is asked for by each."""

import pytest

from bioinstruct_jax.planning import slices
from bioinstruct_jax.planning.chips import CHIPS, GIB


@pytest.mark.parametrize(
    ("name", "topology", "devices"),
    [
        ("v4-8", {"topology_name": "v4:2x2x2", "chip_config_name": "megacore"}, 8),
        ("v5e-1", {"topology_name": "v5e:1x1", "chips_per_host_bounds": (1, 1, 1)}, 1),
        ("v5e-8", {"topology_name": "v5e:2x4", "chips_per_host_bounds": (2, 4, 1)}, 8),
        ("v6e-256", {"topology_name": "v6e:16x16"}, 256),
        ("v5p-128", {"topology_name": "v5p:4x4x8"}, 128),
        ("tpu7x-4", {"topology_name": "tpu7x:2x2x1"}, 8),
        ("2xv5e-16", {"topology_name": "v5e:4x4", "num_slices": 2}, 32),
        ("12xv4-4", {"topology_name": "v4:2x2x1", "chip_config_name": "megacore", "num_slices": 12}, 48),
    ],
)
def test_a_name_says_what_to_compile_for(name, topology, devices):
    # Mutations: `chips` without `count`; the host bounds left out, which makes two hosts of a v5e-8.
    found = slices.find(name)
    assert found.topology == topology
    assert found.chips * found.chip.devices == devices
    assert not found.gpu


def test_every_known_slice_is_found_and_has_its_number_of_chips():
    for name in slices.KNOWN:
        assert slices.find(name).chips == int(name.rpartition("-")[2])
    assert len(set(slices.KNOWN)) == len(slices.KNOWN)
    assert [found.name for found in slices.several("all")] == list(slices.KNOWN)
    assert [found.name for found in slices.several("v5e-8, h100-1")] == ["v5e-8", "h100-1"]


@pytest.mark.parametrize(
    "name", ["v5e-9", "v5e", "h100-8", "1xv5e-8", "0xv5e-8", "2xh100-1", "", "v9-8", "v5e:2x4", "٤"]
)
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ValueError, match=r"unknown slice .*v4-4.*v5e-8.*tpu7x-256.*h200-1.*2xv5e-16"):
        slices.find(name)
    if name == "v5e-9":
        with pytest.raises(ValueError, match="did you mean v5e-"):
            slices.find(name)


def test_no_slice_at_all():
    with pytest.raises(ValueError, match="names none"):
        slices.several(" , ")


def test_peaks_are_those_of_a_chip():
    # A TPU7x is two devices of JAX: 2,307 TFLOP/s together. Mutation: `flops` without `devices`.
    assert CHIPS["tpu7x"].flops == 2307e12
    assert CHIPS["v5e"].flops == 197e12
    assert CHIPS["tpu7x"].memory == 2 * int(94.75 * GIB)
    assert CHIPS["v6e"].between_slices == 12.5e9
