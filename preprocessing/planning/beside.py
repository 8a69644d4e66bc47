"""Logs beside impressions and labels: side tables, and behaviors for histories."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc

from preprocessing.planning.columns import Column
from preprocessing.planning.identifiers import Ids, Moment, find_moments, unique_ids
from preprocessing.planning.outcomes import Outcome
from preprocessing.planning.proposals import Proposal, key_of
from preprocessing.planning.sample import Sample
from preprocessing.planning.sequences import owner_of
from preprocessing.planning.wording import id_rank, words_of

__all__ = ["Beside", "behaviour_history", "click_history", "find_beside"]

_UNIQUE = 0.95
_MATCHED = 0.3
_LENGTH = 20
_FIELDS = 3
_EVENT_WORDS = (
    *("behavior", "behaviors", "behaviour", "behaviours", "log", "logs", "event"),
    *("events", "action", "actions", "view", "views", "visits", "history"),
)


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A log that is no impression log and gives no label.

    Attributes:
        kind: `table` if it tells of users or items, `behaviours` if of what users did.
        name: in the job file.
        sample: of the log.
        columns: of the log.
        key: column of the user or item that a table tells of; of the user of behaviors.
        of: `user` or `item`, what the key is.
        matches: the column of the impressions with the same values.
        matched: share of the sampled impressions whose value is in the log.
        time: from which a row of a table holds, or of a behavior.
        item: column of the item of a behavior, if it has one.
        event: column of the id of a behavior, if there is one.
    """

    kind: Literal["table", "behaviours"]
    name: str
    sample: Sample
    columns: dict[str, Column]
    key: str
    of: str
    matches: str
    matched: float
    time: Moment | None = None
    item: str | None = None
    event: str | None = None


def find_beside(
    columns: dict[str, Column], ids: Ids, logs: list[tuple[Sample, dict[str, Column]]]
) -> list[Beside]:
    """Tells what other logs are; those that have no user or item in common with the
    impressions are left out.

    Args:
        columns: of the impressions.
        ids: of the impressions.
        logs: that give no label.
    """
    found: list[Beside] = []
    for sample, own in logs:
        taken = [log.name for log in found]
        name = key_of(sample.source.name, taken)
        log = _classified(name, sample, own, columns, ids)
        if log is not None:
            found.append(log)
    return found


def _classified(
    name: str,
    sample: Sample,
    own: dict[str, Column],
    columns: dict[str, Column],
    ids: Ids,
) -> Beside | None:
    matches: dict[str, tuple[str, float]] = {}
    for kind in ("user", "item"):
        if kind in ids.others:
            best = _same_values(columns[ids.others[kind]], own)
            if best is not None:
                matches[kind] = best
    if len(matches) == 2 and matches["user"][0] == matches["item"][0]:
        # Both ids are small numbers: the name tells whose they are.
        key = matches["user"][0]
        del matches["item" if id_rank("user", key) is not None else "user"]
    moments = [m for m in find_moments(own) if own[m.column].present.all()]
    time = moments[0] if moments else None
    log: dict[str, Any] = {"name": name, "sample": sample, "columns": own}
    for kind, (key, matched) in matches.items():
        known: dict[str, Any] = {
            "key": key,
            "matches": ids.others[kind],
            "matched": matched,
        }
        if len(own[key].values) >= _UNIQUE * len(own[key]):
            return Beside(kind="table", of=kind, **log, **known)
        if len(matches) == 1 and time is not None and not _is_of_events(sample):
            return Beside(kind="table", of=kind, time=time, **log, **known)
    if "user" not in matches or time is None:
        return None
    user, item = matches["user"], matches.get("item", (None, 0.0))
    events = [column for column in unique_ids(own) if column not in (user[0], item[0])]
    known = {"key": user[0], "matches": ids.others["user"], "matched": user[1]}
    return Beside(
        kind="behaviours",
        of="user",
        time=time,
        item=item[0],
        event=events[0] if events else None,
        **log,
        **known,
    )


def _is_of_events(sample: Sample) -> bool:
    """Whether a log is one of events by its name, and no table that changes."""
    return any(word in _EVENT_WORDS for word in words_of(sample.source.name))


def _same_values(wanted: Column, own: dict[str, Column]) -> tuple[str, float] | None:
    """Returns the column with the values of an id of the impressions, and the share of
    the impressions that it has; one of the same name first."""
    best: tuple[float, str, float] | None = None
    for name, column in own.items():
        if column.lists is not None or not column.usable or not len(column.values):
            continue
        if column.numbers is not None and not column.integral:
            continue
        found = pc.is_in(wanted.texts, value_set=column.texts)
        share = float(np.asarray(found, np.float64).mean())
        same = name == wanted.name
        # Small numbers are in any column of numbers: without the name many must match.
        if share < _MATCHED or not (same or (share > 0.8 and len(column.values) > 100)):
            continue
        inside = pc.is_in(column.texts, value_set=wanted.texts)
        score = share + same + float(np.asarray(inside, np.float64).mean())
        if best is None or score > best[0]:
            best = (score, name, share)
    return None if best is None else (best[1], best[2])


def behaviour_history(
    ids: Ids,
    beside: list[Beside],
    features: list[Proposal],
    columns: dict[str, Column],
) -> Proposal | None:
    """Returns a sequence built of a log of behaviors, None if there is no such log, or
    none that has items or what the features say of items."""
    item = _feature_of(ids.others.get("item"), features)
    known = {
        feature.name: feature.source or columns[feature.columns[0]]
        for feature in features
        if feature.definition and feature.definition["kind"] == "categorical"
    }
    for log in beside:
        if log.kind != "behaviours":
            continue
        fields: dict[str, Any] = {}
        if item is not None and log.item is not None:
            fields[item] = {"column": log.item, "shares": item}
        for name, column in log.columns.items():
            taken = (log.key, log.item, log.event, log.time and log.time.column)
            if name in taken or column.lists is not None or not column.usable:
                continue
            owner = owner_of(column, name, known)
            if owner is not None and owner not in fields and len(fields) < _FIELDS:
                fields[owner] = {"column": name, "shares": owner}
        if fields:
            return _built(log.name, fields, features)
    return None


def click_history(
    ids: Ids, outcomes: list[Outcome], features: list[Proposal]
) -> Proposal | None:
    """Returns a sequence built of the first event log that answers impressions, None if
    there is none, or no user or item."""
    item = _feature_of(ids.others.get("item"), features)
    joined = [o.name for o in outcomes if o.log and o.log.joins == "impression"]
    if "user" not in ids.others or item is None or not joined:
        return None
    fields: dict[str, Any] = {item: {"shares": item}}
    for feature in features:
        definition = feature.definition or {}
        of_item = definition.get("kind") == "categorical" and "table" not in definition
        if of_item and definition.get("group") == "item" and len(fields) < _FIELDS:
            fields.setdefault(feature.name, {"shares": feature.name})
    return _built(joined[0], fields, features)


def _built(source: str, fields: dict[str, Any], features: list[Proposal]) -> Proposal:
    name = key_of("history", [feature.name for feature in features])
    age = {"age_hours": {"kind": "numeric", "transform": "log1p"}}
    return Proposal(
        name=name,
        columns=[],
        definition={
            "kind": "sequence",
            "from": source,
            "max_length": _LENGTH,
            "fields": fields | age,
        },
        note=(
            f"what the user did before the impression, built of the log of {source};"
            f" the last {_LENGTH}"
        ),
        question=(
            f"how much later than it happens is a {source} known where requests are"
            " served? Give that time as 'gap'"
        ),
    )


def _feature_of(column: str | None, features: list[Proposal]) -> str | None:
    """Returns the categorical feature of a column."""
    for feature in features:
        if feature.definition and feature.columns == [column]:
            if feature.definition["kind"] == "categorical":
                return feature.name
    return None
