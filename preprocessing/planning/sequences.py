"""Columns of lists that are behaviour sequences, and which of them are aligned."""

from collections.abc import Collection
from typing import Any

import numpy as np

from preprocessing.planning.columns import Column
from preprocessing.planning.proposals import (
    Proposal,
    describe_values,
    embedding_for,
    key_of,
)
from preprocessing.planning.wording import words_of

__all__ = ["owner_of", "propose_sequences"]

_WORDS = (
    *("history", "hist", "seq", "sequence", "list", "behavior", "behaviour", "clicked"),
    *("recent", "past", "last", "viewed", "bought", "log"),
)
_LENGTHS = (5, 10, 20, 50)


def propose_sequences(
    columns: list[Column], features: dict[str, Column], taken: Collection[str]
) -> list[Proposal]:
    """Returns a sequence for each group of list columns of equal lengths whose names,
    or values that come back inside a list, tell of behaviours.

    Args:
        columns: of lists.
        features: the categorical columns of scalars, by name of their feature.
        taken: names of other features.
    """
    groups: list[list[Column]] = []
    for column in columns:
        if not _is_sequence(column):
            continue
        for group in groups:
            if _aligned(group[0], column):
                group.append(column)
                break
        else:
            groups.append([column])
    proposals: list[Proposal] = []
    for group in groups:
        names = [*taken, *(proposal.name for proposal in proposals)]
        proposal = _sequence(group, features, names)
        if proposal is not None:
            proposals.append(proposal)
    return proposals


def _is_sequence(column: Column) -> bool:
    lists = column.lists
    if lists is None or not column.usable or not len(lists.values):
        return False
    if lists.values.numbers is not None and not lists.values.integral:
        lengths = lists.lengths[lists.lengths > 0]
        if (lengths == lengths[0]).all():
            return False  # a vector
    if any(word in _WORDS for word in words_of(column.name)):
        return True
    rows = np.repeat(np.arange(len(lists.lengths)), lists.lengths)
    codes = lists.values.codes
    pairs = np.unique(np.stack([rows, codes]), axis=1).shape[1]
    return bool(pairs < 0.9 * len(codes))


def _aligned(first: Column, second: Column) -> bool:
    one, other = first.lists, second.lists
    return (
        one is not None
        and other is not None
        and one.separator == other.separator
        and bool((one.lengths == other.lengths).all())
    )


def _sequence(
    group: list[Column], features: dict[str, Column], taken: Collection[str]
) -> Proposal | None:
    # The first field tells where there is a behaviour, and must be categorical.
    group = sorted(group, key=lambda column: not _is_categorical(column))
    lists = group[0].lists
    if lists is None or not _is_categorical(group[0]):
        return None
    name = key_of(_common_words([column.name for column in group]), taken)
    lengths = lists.lengths[lists.lengths > 0]
    wanted = int(np.quantile(lengths, 0.9))
    most = next((step for step in _LENGTHS if step >= wanted), _LENGTHS[-1])
    fields: dict[str, Any] = {}
    for column in group:
        key = _field_name(column.name, name, fields)
        definition = _field(column, features)
        if f"{name}_{key}" != column.name:
            definition = {"column": column.name} | definition
        fields[key] = definition
    definition = {"kind": "sequence", "max_length": most}
    if lists.separator not in (None, "|"):
        definition["separator"] = lists.separator
    definition["fields"] = fields
    values = lists.values
    return Proposal(
        name=name,
        columns=[column.name for column in group],
        definition=definition,
        note=(
            f"{group[0].missing:.1%} of the rows have none, the others"
            f" {lengths.mean():.1f} behaviors on average, at most {lengths.max():,};"
            f" {group[0].name}: {describe_values(values)}"
        ),
        question=(
            "are the behaviors logged oldest first, and all of them earlier than the"
            " impression? Both are taken for granted"
        ),
    )


def _is_categorical(column: Column) -> bool:
    lists = column.lists
    return lists is not None and (lists.values.numbers is None or lists.values.integral)


def _field(column: Column, features: dict[str, Column]) -> dict[str, Any]:
    lists = column.lists
    if lists is None or not _is_categorical(column):
        return {"kind": "numeric", "transform": "log1p"}
    owner = owner_of(lists.values, column.name, features)
    if owner is not None:
        return {"shares": owner}
    definition: dict[str, Any] = {}
    if _is_native(lists.values):
        definition["type"] = "int64"
    return definition | {"embedding": embedding_for(lists.values)}


def _is_native(column: Column) -> bool:
    """Whether the values are numbers in the log itself, so `type: int64`."""
    return column.numbers is not None and not column.from_text


def owner_of(values: Column, name: str, features: dict[str, Column]) -> str | None:
    """Returns the feature whose values a field holds: they overlap, and names agree or
    there are too many values for chance."""
    best: tuple[float, str] | None = None
    total = max(int(values.counts.sum()), 1)
    for feature, column in features.items():
        if _is_native(column) != _is_native(values):
            continue
        known = set(column.values)
        inside = np.array([value in known for value in values.values], np.bool_)
        share = float(values.counts[inside].sum()) / total
        alike = _alike(name, column.name)
        if (alike and share >= 0.02) or (share >= 0.9 and len(values.values) > 100):
            score = share + alike
            if best is None or score > best[0]:
                best = (score, feature)
    return best[1] if best else None


def _alike(first: str, second: str) -> bool:
    """Whether two names have a word, or the beginning of one, in common."""
    ones = [word for word in words_of(first) if len(word) > 3]
    others = [word for word in words_of(second) if len(word) > 3]
    return any(a[:4] == b[:4] for a in ones for b in others)


def _common_words(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    shared = []
    for parts in zip(*[name.split("_") for name in names], strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "_".join(shared) or "history"


def _field_name(column: str, sequence: str, taken: Collection[str]) -> str:
    rest = column.removeprefix(f"{sequence}_") if column != sequence else "item"
    return key_of(rest, taken)
