"""`python -m preprocessing plan`: a first job file, and a page with plots."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.columns import raw_columns
from configs.errors import DataError
from configs.loading import parse_job
from preprocessing.files import Format
from preprocessing.planning.clicks_alone import draw_sample
from preprocessing.planning.draft import Draft, NoLabel, make_draft
from preprocessing.planning.job_text import JobText, write_job
from preprocessing.planning.page import write_page
from preprocessing.planning.sample import read_sample
from preprocessing.planning.sources import find_sources

__all__ = ["Planned", "plan_job"]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What was written.

    Attributes:
        draft: what it was written from.
        text: of the job file.
        job: path of the job file.
        page: path of the HTML page, or None.
    """

    draft: Draft
    text: JobText
    job: Path
    page: Path | None


def plan_job(
    logs: Sequence[str],
    *,
    out: str | Path = "job.yaml",
    page: str | Path | None = None,
    name: str | None = None,
    work: str | None = None,
    rows: int = 200_000,
    format: Format | None = None,
    overwrite: bool = False,
) -> Planned:
    """Reads samples of logs, and writes a job file that runs as it is.

    Args:
        logs: files, folders and globs.
        out: the job file.
        page: an HTML page with plots, or None.
        name: of the job; that of the job file unless given.
        work: folder of examples, runs and models; `data/NAME` unless given.
        rows: of each log to read, at most.
        format: of the logs, if their names do not tell.
        overwrite: replace the files if they exist.

    Raises:
        DataError: if the logs cannot be read, no label can be found in them, or a file
            that is to be written exists.
    """
    if rows < 1:
        raise DataError(f"--rows is {rows}, expected at least 1")
    targets = [Path(path) for path in (out, page) if path is not None]
    for target in targets:
        if target.exists() and not overwrite:
            raise DataError(
                f"{target} exists already: give --overwrite, or another name"
            )
    name = name or re.sub(r"[^A-Za-z0-9_.-]", "_", Path(out).stem)
    name = name if name[:1].isalpha() else f"job-{name}"
    work = work or f"data/{name}"
    remark = None
    samples = [read_sample(source, rows) for source in find_sources(logs, format)]
    try:
        draft = make_draft(samples)
    except NoLabel as found:
        drawn = Path(work) / "drawn-logs"
        folder, remark = draw_sample(found, drawn, rows=rows, overwrite=overwrite)
        draft = make_draft([read_sample(s, rows) for s in find_sources([folder])])
    command = shlex.join(["python", "-m", "preprocessing", "plan", *logs])
    text = write_job(draft, name=name, work=work, command=command, remark=remark)
    content = "\n".join(text.lines) + "\n"
    job = parse_job(content, origin=str(out))  # what is written is valid
    raw_columns(job)
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
    targets[0].write_text(content, encoding="utf-8")
    if page is not None:
        targets[1].write_text(write_page(draft, text, name), encoding="utf-8")
    return Planned(draft=draft, text=text, job=targets[0], page=(*targets, None)[1])
