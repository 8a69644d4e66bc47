"""The two towers of tasks that match users with items."""

from collections.abc import Sequence

from trainer.layers.groups import GroupsLayout
from trainer.layers.mlp import MLP

__all__ = ["user_and_item_towers"]


def user_and_item_towers(
    layout: GroupsLayout, hidden: Sequence[int], *, name: str, seed: int
) -> tuple[MLP, MLP]:
    """Returns the towers over the user's group and all sequences, and over the item's.

    Args:
        layout: of the embedded groups, with an item group.
        hidden: widths of the layers, the last of them linear.
        name: of the task: the towers are `<name>_user` and `<name>_item`.
        seed: of the initial weights.
    """
    user_width = layout.groups.get("user", 0)
    user_width += sum(s.total for s in layout.sequences.values())
    widths = {"user": user_width, "item": layout.groups["item"]}
    user, item = (
        MLP(width, hidden, name=f"{name}_{side}", seed=seed, linear_output=True)
        for side, width in widths.items()
    )
    return user, item
