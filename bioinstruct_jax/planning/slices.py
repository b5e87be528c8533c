"""Slices by name: `v5e-8` is eight chips of a TPU v5e, `2xv5e-16` two such slices of sixteen, `h100-1` one GPU.

The number counts chips, for every generation alike. (Google's own names count cores for v4 and v5p.)
"""

import difflib
import re
from dataclasses import dataclass
from typing import Any

from bioinstruct_jax.planning.chips import CHIPS, Chip

# Chips along each axis, by their number: the most cube-like shape that can be rented.
_Shapes = dict[int, tuple[int, ...]]
_TWO: _Shapes = {1: (1, 1), 4: (2, 2), 8: (2, 4), 16: (4, 4), 32: (4, 8), 64: (8, 8), 128: (8, 16), 256: (16, 16)}
_THREE: _Shapes = {
    4: (2, 2, 1),
    8: (2, 2, 2),
    16: (2, 2, 4),
    32: (2, 4, 4),
    64: (4, 4, 4),
    128: (4, 4, 8),
    256: (4, 8, 8),
}
_SHAPES: dict[str, _Shapes] = {"v4": _THREE, "v5e": _TWO, "v5p": _THREE, "v6e": _TWO, "tpu7x": _THREE}
_GPUS = ("a100-40", "a100-80", "h100", "h200")
# What libtpu wants in TPU_ACCELERATOR_TYPE; it takes the kind of chip from there and the size from the topology.
_TYPES = {"v4": "v4-16", "v5e": "v5litepod-16", "v5p": "v5p-16", "v6e": "v6e-16", "tpu7x": "tpu7x-16"}

KNOWN = (*(f"{kind}-{size}" for kind, sizes in _SHAPES.items() for size in sizes), *(f"{gpu}-1" for gpu in _GPUS))


@dataclass(frozen=True)
class Slice:
    """Chips that can be rented together.

    Attributes:
        name: as the user writes it.
        kind: key of `CHIPS`.
        shape: chips along each axis of one slice; () for a GPU.
        count: slices that work as one.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    count: int = 1

    @property
    def chip(self) -> Chip:
        return CHIPS[self.kind]

    @property
    def chips(self) -> int:
        """Of all slices together."""
        number = self.count
        for size in self.shape:
            number *= size
        return number

    @property
    def gpu(self) -> bool:
        return self.kind in _GPUS

    @property
    def accelerator_type(self) -> str:
        """For TPU_ACCELERATOR_TYPE."""
        return _TYPES[self.kind]

    @property
    def topology(self) -> dict[str, Any]:
        """Arguments of `jax.experimental.topologies.get_topology_desc`."""
        words: dict[str, Any] = {"topology_name": f"{self.kind}:{'x'.join(map(str, self.shape))}"}
        if self.kind == "v4":
            words["chip_config_name"] = "megacore"
        if self.shape in ((1, 1), (2, 4)):  # one or eight v5e or v6e on one host
            words["chips_per_host_bounds"] = (*self.shape, 1)
        if self.count > 1:
            words["num_slices"] = self.count
        return words


def find(name: str) -> Slice:
    """The slice of that name. Raises ValueError for an unknown one, with the nearest and all that are known."""
    match = re.fullmatch(r"(?:([2-9]|[1-9]\d+)x)?(.+)-(\d+)", name)
    if match:
        count, kind, size = int(match[1] or 1), match[2], int(match[3])
        if kind in _GPUS and size == 1 and count == 1:
            return Slice(name, kind, ())
        if size in _SHAPES.get(kind, {}):
            return Slice(name, kind, _SHAPES[kind][size], count)
    near = difflib.get_close_matches(name, KNOWN, 1)
    raise ValueError(
        f"unknown slice {name!r}; {f'did you mean {near[0]}? ' if near else ''}Known are {', '.join(KNOWN)}, "
        "and several of one kind, such as 2xv5e-16"
    )


def several(text: str) -> list[Slice]:
    """The slices of a list `v5e-8,v6e-8`; `all`: every known one. Raises ValueError as `find`."""
    names = KNOWN if text == "all" else [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ValueError(f"slices {text!r} names none; give a list such as v5e-8,v6e-8, or all")
    return [find(name) for name in names]
