"""What becomes of each column, and which features other logs give."""

import numpy as np

from preprocessing.planning.beside import Beside, behaviour_history, click_history
from preprocessing.planning.columns import Column
from preprocessing.planning.identifiers import Ids
from preprocessing.planning.leaks import leak
from preprocessing.planning.outcomes import Outcome
from preprocessing.planning.proposals import Proposal, propose
from preprocessing.planning.sequences import propose_sequences
from preprocessing.planning.wording import words_of

__all__ = ["propose_features"]

_DAYS_FOR_HOURS = 2.0
"""A log of a day or less has hours in its test split that training never saw."""


def propose_features(
    columns: dict[str, Column],
    ids: Ids,
    outcomes: list[Outcome],
    beside: list[Beside],
    days: float,
) -> list[Proposal]:
    """Returns what becomes of each column of the impressions, then the features of side
    tables, then a sequence built of events if none was logged, and the hour.

    Args:
        columns: of the impressions.
        ids: of the impressions.
        outcomes: the labels.
        beside: other logs than those of labels, and what they are.
        days: that the impressions span.
    """
    proposals = _of_impressions(columns, ids, outcomes)
    _attach_weights(proposals, columns)
    for log in beside:
        if log.kind == "table":
            proposals += _of_table(log, [proposal.name for proposal in proposals])
    kinds = [p.definition["kind"] for p in proposals if p.definition]
    if "sequence" not in kinds:
        built = behaviour_history(ids, beside, proposals, columns)
        built = built or click_history(ids, outcomes, proposals)
        proposals += [built] if built is not None else []
    if ids.time is not None and ids.time.certain and days >= _DAYS_FOR_HOURS:
        if not any(feature.name == "hour" for feature in proposals):
            proposals.append(_hour())
    return proposals


def _hour() -> Proposal:
    return Proposal(
        name="hour",
        columns=[],
        definition={"kind": "time", "part": "hour", "timezone": "UTC", "dim": 4},
        note="of the impression's time",
        question="the hour is that of UTC: in which time zone do the users live?",
    )


def _attach_weights(proposals: list[Proposal], columns: dict[str, Column]) -> None:
    """Gives multi-valued features the columns that weigh their values: left out by
    themselves, of the same lengths, and not negative."""
    for proposal in proposals:
        definition = proposal.definition or {}
        if definition.get("kind") != "multi_valued":
            continue
        lists = columns[proposal.columns[0]].lists
        for other in proposals:
            weights = columns[other.columns[0]].lists if not other.kept else None
            if weights is None or lists is None or weights.values.numbers is None:
                continue
            aligned = np.array_equal(weights.lengths, lists.lengths)
            same = aligned and weights.separator == lists.separator
            if same and np.nanmin(weights.values.numbers, initial=0.0) >= 0.0:
                definition["weights"] = other.columns[0]
                other.note = f"it weighs the values of {proposal.name}"
                break


def _of_table(log: Beside, taken: list[str]) -> list[Proposal]:
    """Returns the features of a side table: it tells of the id that it is joined by."""
    found: list[Proposal] = []
    for name, column in log.columns.items():
        if name == log.key or (log.time is not None and name == log.time.column):
            continue
        names = [*taken, *(proposal.name for proposal in found)]
        proposal = propose(column, {}, names)
        if proposal.definition is not None:
            definition = dict(proposal.definition)
            kind = definition.pop("kind")
            definition.pop("group", None)
            first = {"kind": kind, "table": log.name, "group": log.of}
            proposal.definition = first | definition
        proposal.source = column
        proposal.note = f"of the table {log.name}: {proposal.note}"
        found.append(proposal)
    return found


def _of_impressions(
    columns: dict[str, Column], ids: Ids, outcomes: list[Outcome]
) -> list[Proposal]:
    labels = {outcome.column: outcome for outcome in outcomes if outcome.column}
    owners: dict[str, Column] = {
        kind: columns[ids.others[kind]]
        for kind in ("item", "user")
        if kind in ids.others and kind not in ids.weak
    }
    proposals: list[Proposal] = []
    lists: list[Column] = []
    for name, column in columns.items():
        if name in labels or _is_truth(name, outcomes):
            continue
        why = _left_out(name, column, ids, outcomes)
        if why is not None:
            proposals.append(
                Proposal(name=name, columns=[name], definition=None, note=why)
            )
        elif column.lists is not None:
            lists.append(column)
        else:
            taken = [proposal.name for proposal in proposals]
            proposals.append(propose(column, owners, taken))
    scalars = {
        p.name: columns[p.columns[0]]
        for p in proposals
        if p.definition and p.definition["kind"] == "categorical"
    }
    taken = [proposal.name for proposal in proposals]
    sequences = propose_sequences(lists, scalars, taken)
    used = {name for sequence in sequences for name in sequence.columns}
    for column in lists:
        if column.name not in used:
            taken = [proposal.name for proposal in (*proposals, *sequences)]
            proposals.append(propose(column, owners, taken))
    return [*proposals, *sequences]


def _left_out(
    name: str, column: Column, ids: Ids, outcomes: list[Outcome]
) -> str | None:
    if ids.time is not None and ids.time.column == name:
        return "the impression's time"
    if name == ids.event:
        return "the impression's own id"
    if not column.usable or name in ids.others.values():
        return None
    for outcome in outcomes:
        why = leak(column, outcome.values)
        if why is not None:
            return f"it gives the label {outcome.name} away: {why}"
    if any(moment.column == name for moment in ids.moments):
        return "a moment; as a feature log the time since then"
    return None


def _is_truth(name: str, outcomes: list[Outcome]) -> bool:
    """Whether a column holds the true probability of a label (synthetic logs)."""
    words = words_of(name)
    for outcome in outcomes:
        if words[-1:] == ["truth"] and "_".join(words[:-1]) == outcome.name:
            outcome.truth = name
            return True
    return False
