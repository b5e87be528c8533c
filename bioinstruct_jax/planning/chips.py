"""What the makers publish of each accelerator; a roofline rests on these numbers and on nothing measured here."""

from dataclasses import dataclass

from bioinstruct_jax.training.flops import PEAK_TFLOPS

GIB = 2**30


@dataclass(frozen=True)
class Chip:
    """One accelerator.

    Attributes:
        device: its name in JAX, the key of `flops.PEAK_TFLOPS`.
        devices: of JAX on one chip.
        memory: bytes a program may use on one chip. Of a TPU it is what its compiler says when a program does not fit;
            of a GPU the data sheet's size less 6 %, which is a guess at what driver and library keep.
        memory_bandwidth: bytes/s.
        network: bytes/s one way over all links between the chips of a slice, half of what Google calls bidirectional.
        between_slices: bytes/s of one chip's share of the data centre network; None: not published.
    """

    device: str
    devices: int
    memory: int
    memory_bandwidth: float
    network: float | None = None
    between_slices: float | None = None

    @property
    def flops(self) -> float:
        """Dense bf16 FLOP/s."""
        return PEAK_TFLOPS[self.device] * 1e12 * self.devices


# TPU: https://cloud.google.com/tpu/docs, pages v4, v5e, v5p, v6e and tpu7x: HBM bandwidth, bidirectional inter-chip
# bandwidth (v5e 400, v5p 1200, v6e 800, tpu7x 1200 GB/s), data centre network of a pod over its chips (v5e 6.4 Tbit/s
# over 256, v6e 25.6 Tbit/s over 256) or of a chip (v5p 50, tpu7x 100 Gbit/s). v4: 6 links of 50 GB/s each way,
# Jouppi et al., "TPU v4" (ISCA 2023). Memory: "exceeds available HBM (...)" of libtpu 0.0.42.
# GPU: NVIDIA's data sheets of A100 (SXM), H100 (SXM) and H200.
CHIPS = {
    "v4": Chip("TPU v4", 1, int(30.75 * GIB), 1.2e12, 300e9),
    "v5e": Chip("TPU v5 lite", 1, int(15.75 * GIB), 0.819e12, 200e9, 6.4e12 / 8 / 256),
    "v5p": Chip("TPU v5p", 1, int(95.74 * GIB), 2.765e12, 600e9, 50e9 / 8),
    "v6e": Chip("TPU v6e", 1, int(31.25 * GIB), 1.6e12, 400e9, 25.6e12 / 8 / 256),
    "tpu7x": Chip("TPU7x", 2, 2 * int(94.75 * GIB), 7.38e12, 600e9, 100e9 / 8),
    "a100-40": Chip("NVIDIA A100", 1, int(0.94 * 40e9), 1.555e12),
    "a100-80": Chip("NVIDIA A100", 1, int(0.94 * 80e9), 2.039e12),
    "h100": Chip("NVIDIA H100", 1, int(0.94 * 80e9), 3.35e12),
    "h200": Chip("NVIDIA H200", 1, int(0.94 * 141e9), 4.8e12),
}
