"""Merges partitions message by message, as the rule is worded: slow and plain."""


def merge(partitions: dict[int, list[int]]) -> list[tuple[int, int]]:
    """Returns (partition, place) of all messages in order, given their timestamps."""
    heads = dict.fromkeys(partitions, 0)
    order = []
    while True:
        left = [p for p in partitions if heads[p] < len(partitions[p])]
        if not left:
            return order
        first = min(left, key=lambda p: (partitions[p][heads[p]], p))
        order.append((first, heads[first]))
        heads[first] += 1
