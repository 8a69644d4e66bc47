"""The rules between side tables and the features that are read from them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from configs.section import suggestion

if TYPE_CHECKING:
    from configs.job import Job

__all__ = ["table_problems"]


def table_problems(job: "Job") -> Iterator[str]:
    """Yields what is wrong between `data.tables` and the features."""
    used = set()
    for name, feature in job.features.items():
        table = getattr(feature, "table", None)
        used.add(table)
        if table is not None and table not in job.data.tables:
            yield (
                f"features.{name}.table: data.tables has no table {table!r}."
                f"{suggestion(table, job.data.tables)}"
            )
    for table, section in job.data.tables.items():
        if table not in used:
            yield (
                f"data.tables.{table}: no feature has 'table: {table}': add one, or"
                " remove the table"
            )
        columns = [section.key, section.deleted, section.time and section.time.column]
        named = [column for column in columns if column is not None]
        if len(set(named)) < len(named):
            yield (
                f"data.tables.{table}: key, time and deleted must be different columns,"
                f" got {named}"
            )
