"""What becomes of each column, and which features other logs give."""

from preprocessing.planning.beside import Beside, behaviour_history, click_history
from preprocessing.planning.columns import Column
from preprocessing.planning.identifiers import Ids
from preprocessing.planning.leaks import leak
from preprocessing.planning.outcomes import Outcome
from preprocessing.planning.proposals import Proposal, propose
from preprocessing.planning.sequences import propose_sequences
from preprocessing.planning.wording import words_of

__all__ = ["propose_features"]


def propose_features(
    columns: dict[str, Column],
    ids: Ids,
    outcomes: list[Outcome],
    beside: list[Beside],
) -> list[Proposal]:
    """Returns what becomes of each column of the impressions, then the features of side
    tables, then a sequence built of events if none was logged.

    Args:
        columns: of the impressions.
        ids: of the impressions.
        outcomes: the labels.
        beside: other logs than those of labels, and what they are.
    """
    proposals = _of_impressions(columns, ids, outcomes)
    for log in beside:
        if log.kind == "table":
            proposals += _of_table(log, [proposal.name for proposal in proposals])
    kinds = [p.definition["kind"] for p in proposals if p.definition]
    if "sequence" in kinds:
        return proposals
    built = behaviour_history(ids, beside, proposals, columns) or click_history(
        ids, outcomes, proposals
    )
    return proposals if built is None else [*proposals, built]


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
