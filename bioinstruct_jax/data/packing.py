"""Which examples share a row."""

from collections import deque
from collections.abc import Sequence


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Best-fit decreasing bin packing (Johnson, 1974): at most 11/9 of the fewest rows possible, and one more.

    Longest first, each into the fullest row that has room; of equals the earlier one first, so the result depends on
    nothing but the arguments. Free space is looked up in the bits of one integer: O(n log n + n capacity / 64).

    Args:
      lengths: tokens of each example.
      capacity: tokens in a row.

    Returns:
      For each row the indices of its examples, in the order they were placed.

    Raises:
      ValueError: an example that is empty or longer than a row; examples are never split.
    """
    for index, length in enumerate(lengths):
        if not 0 < length <= capacity:
            raise ValueError(f"example {index} has {length} tokens and a row has room for 1 to {capacity}")
    rows: list[list[int]] = []
    with_room: list[deque[int]] = [deque() for _ in range(capacity + 1)]  # free slots -> rows, oldest first
    bits = 0  # bit f is set if with_room[f] is not empty
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = lengths[index]
        fitting = bits >> length
        if fitting:
            free = length + (fitting & -fitting).bit_length() - 1
            row = with_room[free].popleft()
            if not with_room[free]:
                bits ^= 1 << free
        else:
            free, row = capacity, len(rows)
            rows.append([])
        rows[row].append(index)
        with_room[free - length].append(row)
        bits |= 1 << (free - length)
    return rows
