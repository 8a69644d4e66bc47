"""The shuffled order of an epoch, row by row, in plain Python integers."""

MASK = 2**64 - 1


def split_mix(value):
    """SplitMix64's output function after one step of its counter."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def signed(value):
    return value - 2**64 if value >= 2**63 else value


def key_of(seed, epoch):
    return split_mix((split_mix(seed) + epoch) & MASK)


def epoch_order(shards, block, seed, epoch):
    """Rows of an epoch in order.

    Args:
        shards: lists of rows, in the order of the epoch.
        block: rows of a block.
        seed: of the order.
        epoch: its number.
    """
    key, order = key_of(seed, epoch), []
    for start in range(0, len(shards), 8):
        queues = [list(shard) for shard in shards[start : start + 8]]
        each = -(-block // len(queues))
        while any(queues):
            rows = [row for queue in queues for row in queue[:each]]
            queues = [queue[each:] for queue in queues]
            hashes = [
                signed(split_mix((key + len(order) + k) & MASK))
                for k in range(len(rows))
            ]
            places = sorted(range(len(rows)), key=lambda k: -hashes[k])
            order += [rows[k] for k in places]
    return order


def order_by_context(shards, block, seed, epoch, context_of):
    """As `epoch_order`, with blocks inside shards and contexts kept whole."""
    key, order = key_of(seed, epoch), []
    for shard in shards:
        for start in range(0, len(shard), block):
            rows = shard[start : start + block]
            first, last = context_of(rows[0]), context_of(rows[-1])
            middle = [r for r in rows if context_of(r) not in (first, last)]
            middle.sort(key=lambda r: -(split_mix((key + context_of(r)) & MASK) >> 2))
            order += [r for r in rows if context_of(r) == first]
            order += middle
            if last != first:
                order += [r for r in rows if context_of(r) == last]
    return order
