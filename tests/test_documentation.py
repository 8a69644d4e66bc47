"""The pages that must follow the code: the job file's reference, and its links."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from configs import Job, parse_job
from configs.section import Section


def all_sections() -> list[type[Section]]:
    """Every section class that the schema can reach; shares no code with scripts/."""
    pending: list[type[Section]] = [Job]
    found: list[type[Section]] = []
    while pending:
        section = pending.pop()
        if section in found:
            continue
        found.append(section)
        for field in section.model_fields.values():
            pending += sections_in(field.annotation)
    return found


def sections_in(annotation: object) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    inner = getattr(annotation, "__args__", ())
    return [section for part in inner for section in sections_in(part)]


def test_the_reference_is_current(project_root):
    checked = subprocess.run(
        [sys.executable, "scripts/document_job_file.py", "--check"],
        cwd=project_root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("section", all_sections(), ids=lambda s: s.__name__)
def test_every_field_of_every_section_is_documented(project_root, section):
    text = (project_root / "docs" / "job-file.md").read_text(encoding="utf-8")
    first_line = (section.__doc__ or "").splitlines()[0]
    parts = [p for p in text.split("\n## ") if f"\n\n{first_line}" in p]
    assert parts, f"{section.__name__} has no part of the page"
    for name, field in section.model_fields.items():
        assert f"| `{field.alias or name}` |" in parts[0], f"{section.__name__}.{name}"


def test_the_reference_of_all_sections_was_looked_at():
    names = {section.__name__ for section in all_sections()}
    assert {"Job", "SequenceField", "Interval", "NIP", "EarlyStopping"} <= names


def pages(root: Path) -> list[Path]:
    return [*root.glob("*.md"), *(root / "docs").rglob("*.md")]


def test_links_between_pages_lead_somewhere(project_root):
    broken = []
    for page in pages(project_root):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(project_root)}: {target}")
    assert not broken


def test_job_files_in_the_pages_are_valid(project_root):
    """Whole job files (they begin with a name) are parsed; parts are not."""
    checked = 0
    for page in pages(project_root):
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), flags=re.S):
            if re.match(r"(#[^\n]*\n)*name:", block):
                assert parse_job(block, origin=str(page)).warnings() == []
                checked += 1
    assert checked


def test_the_examples_with_losses_run(project_root):
    """Those of other pages need a run or a server, and have tests of their own."""
    text = (project_root / "docs" / "losses.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    assert len(blocks) == 2 and "compile(" in blocks[0]
    for block in blocks:
        # Each with names of its own, so that it can be copied by itself.
        exec(block, {})  # noqa: S102 (our own pages)


def test_every_shipped_job_is_valid(project_root):
    jobs = sorted((project_root / "configs").glob("*.yaml"))
    for path in jobs:
        text = path.read_text(encoding="utf-8")
        assert text.startswith("#"), f"{path.name} has no first comment"
        parse_job(text, origin=path.name)
