"""Token ids in, token ids and log-probabilities out: requests are sorted, padded to few lengths and run on a mesh."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
from flax import nnx

from bioinstruct_jax.config import Shape
from bioinstruct_jax.inference import batches
from bioinstruct_jax.inference import slots as device
from bioinstruct_jax.inference.batches import Branches, Prompt, bucket
from bioinstruct_jax.inference.forward import Rows, score
from bioinstruct_jax.inference.sampling import Needs
from bioinstruct_jax.model import rope

SCORED_TOKENS = {"cpu": 1024}  # of a batch of rows to score: on a CPU what fits its caches,
OTHERS_SCORED_TOKENS = 8192  # elsewhere what keeps the matrix units busy, unless a layer's attention were larger than
ATTENTION_BYTES = 2**28
OnTokens = Callable[[int, list[int], bool], bool]  # place of a prompt, its next tokens, whether they are the last


@dataclass(frozen=True, eq=False)
class Engine:
    """A model on its devices.

    Attributes:
        graph, weights: for `nnx.merge`; the weights lie on `mesh`.
        shape, dtype: of the model and its cache.
        slots: prompts that are completed at the same time; a multiple of data x fsdp of the mesh.
    """

    graph: nnx.GraphDef
    weights: nnx.State
    shape: Shape
    dtype: str
    mesh: jax.sharding.Mesh
    slots: int

    @property
    def shards(self) -> int:
        """Devices over which the rows of a batch are divided."""
        return self.mesh.shape["data"] * self.mesh.shape["fsdp"]

    @property
    def _scored_tokens(self) -> int:
        return SCORED_TOKENS.get(self.mesh.devices.flat[0].platform, OTHERS_SCORED_TOKENS)

    def _rows(self, wanted: int) -> int:
        return max(1, math.ceil(wanted / self.shards)) * self.shards

    # ---------------------------------------------------------------- scoring

    def score(self, requests: Sequence[Branches], on_result: Callable[[int, list[tuple[float, bool]]], None]) -> None:
        """Calls `on_result` with the place of each request and what its continuations score, longest first."""
        lengths = [batches.row_length(request) for request in requests]
        order = sorted(range(len(requests)), key=lambda i: (-bucket(lengths[i]), -batches.targets(requests[i]), i))
        while order:
            width = bucket(lengths[order[0]])
            scores = 4 * self.shape.num_attention_heads * width**2  # bytes of a row's attention
            count = self._rows(max(1, min(self._scored_tokens // width, ATTENTION_BYTES // scores)))
            batch = [i for i in order[:count] if bucket(lengths[i]) == width]
            order = order[len(batch) :]
            targets = batches.power(4, max(batches.targets(requests[i]) for i in batch))
            if len(batch) < count:  # the last of its width: of a fitting size, or one would compile for each remainder
                count = self._rows(min(count, batches.power(2, len(batch))))
            rows = batches.rows([requests[i] for i in batch], count, width, targets)
            with jax.set_mesh(self.mesh):
                put = jax.NamedSharding(self.mesh, jax.P(("data", "fsdp"), None))
                logs, best = jax.device_get(_score(self.graph, self.weights, jax.device_put(rows, put)))
            for row, i in enumerate(batch):
                at, found = 0, []
                for continuation in requests[i].continuations:
                    span = slice(at, at + len(continuation))
                    found.append((float(logs[row, span].sum(dtype=np.float64)), bool(best[row, span].all())))
                    at += len(continuation)
                on_result(i, found)

    # ---------------------------------------------------------------- completing

    def complete(self, prompts: Sequence[Prompt], on_tokens: OnTokens, steps: int) -> None:
        """Write on from every prompt.

        Args:
            prompts: of at least one token each.
            on_tokens: called with the place of a prompt, its next tokens and whether they are the last; true ends it.
            steps: tokens after which `on_tokens` is called, at most `slots.CHUNK`; few for a person who waits.
        """
        original = self.shape.max_position_embeddings if rope.by_length(self.shape) else math.inf
        growing = {i for i, prompt in enumerate(prompts) if len(prompt.tokens) + prompt.max_tokens > original}
        self._reread([(i, prompts[i]) for i in sorted(growing)], on_tokens)
        cached = [(i, prompt) for i, prompt in enumerate(prompts) if i not in growing]
        self._complete(cached, on_tokens, min(steps, device.CHUNK))

    def _reread(self, prompts: list[tuple[int, Prompt]], on_tokens: OnTokens) -> None:
        """Every token from a pass over all before it: under ``dynamic`` scaling there is no other exact way."""
        needs, ends, vocabulary = _needs(prompts), _ends(prompts), self.shape.vocab_size or 0
        while prompts:
            going = []
            for first in range(0, len(prompts), self.slots):
                batch = [prompt for _, prompt in prompts[first : first + self.slots]]
                read = batches.padded(batch, self._rows(batches.power(2, len(batch))), ends, vocabulary, needs)
                with jax.set_mesh(self.mesh):
                    found = jax.device_get(device.next_tokens(self.graph, self.weights, read, needs))
                for (i, prompt), token in zip(prompts[first : first + self.slots], found.tolist(), strict=False):
                    last = token in prompt.ends or prompt.written + 1 >= prompt.max_tokens
                    if not on_tokens(i, [token], last) and not last:
                        tokens = np.append(prompt.tokens, np.int32(token))
                        going.append((i, replace(prompt, tokens=tokens, written=prompt.written + 1)))
            prompts = going

    def _complete(self, prompts: list[tuple[int, Prompt]], on_tokens: OnTokens, steps: int) -> None:
        """As `complete`; those that need most columns go first, so that the cache can shrink for the others."""
        width = self._rows(min(self.slots, batches.power(2, len(prompts))))
        rows = self._rows(max(1, width // 4))
        vocabulary = self.shape.vocab_size or 0
        ends, needs = _ends(prompts), _needs(prompts)
        waiting = deque(sorted(prompts, key=lambda pair: (-_columns(pair), -bucket(len(pair[1].tokens)))))
        columns = max(map(_columns, prompts), default=0)
        owners: list[tuple[int, Prompt] | None] = [None] * width
        written = [0] * width

        def take(slot: int, tokens: list[int]) -> None:
            owner = owners[slot]
            assert owner is not None
            written[slot] += len(tokens)
            last = tokens[-1] in owner[1].ends or written[slot] >= owner[1].max_tokens
            if on_tokens(owner[0], tokens, last) or last:
                owners[slot] = None

        with jax.set_mesh(self.mesh):
            orders = batches.orders([], width, ends, vocabulary, needs)
            now = device.empty_slots(self.shape, self.dtype, orders, columns)
            while waiting or any(owners):
                needed = max(map(_columns, [*filter(None, owners), *list(waiting)[:1]]))
                if needed <= columns // 2 and len(waiting) >= self.slots:  # for fewer, compiling would cost more
                    columns //= 2
                    now = device.shrink(now, columns)
                    continue
                free = [slot for slot, owner in enumerate(owners) if owner is None]
                if waiting and (len(free) >= rows or len(free) == width):
                    batch = [waiting.popleft() for _ in range(min(rows, len(waiting)))]
                    source = np.full(width, -1, np.int32)
                    for row, (slot, owner) in enumerate(zip(free, batch, strict=False)):
                        source[slot], owners[slot], written[slot] = row, owner, 0
                    read = batches.padded([prompt for _, prompt in batch], rows, ends, vocabulary, needs)
                    now, first = device.admit(self.graph, self.weights, now, read, source, needs)
                    for slot, token in zip(free, jax.device_get(first)[: len(batch)].tolist(), strict=False):
                        take(slot, [token])
                    continue
                keep = np.array([owner is not None for owner in owners])
                quit_at = width - rows if waiting else 0
                now, out = device.decode(self.graph, self.weights, now, keep, steps, quit_at, needs)
                for slot, column in enumerate(jax.device_get(out).T):
                    tokens = column[column >= 0].tolist()
                    if tokens:
                        take(slot, tokens)


def _columns(pair: tuple[int, Prompt]) -> int:
    """What a prompt and its completion need of the cache."""
    return bucket(len(pair[1].tokens) + pair[1].max_tokens)


def _needs(prompts: list[tuple[int, Prompt]]) -> Needs:
    return Needs(
        sampling=any(prompt.temperature > 0 for _, prompt in prompts),
        filtering=any(prompt.temperature > 0 and (prompt.top_k or prompt.top_p < 1) for _, prompt in prompts),
        penalty=any(prompt.repetition_penalty != 1 for _, prompt in prompts),
    )


def _ends(prompts: list[tuple[int, Prompt]]) -> int:
    """Places for the end tokens of any prompt, a multiple of 4."""
    return 4 * math.ceil(max((len(prompt.ends) for _, prompt in prompts), default=0) / 4)


@jax.jit(static_argnames="graph")
def _score(graph: nnx.GraphDef, weights: nnx.State, rows: Rows) -> tuple[jax.Array, jax.Array]:
    return score(nnx.merge(graph, weights), rows)
