"""Puts RESULTS.md together from parts that were measured at different times."""

from pathlib import Path

from benchmarks.training.environments import CACHE

__all__ = ["write_part", "write_results"]

PARTS = ("speed", "parity", "replicas")

_HEAD = """# Training

Written by `python -m benchmarks.training`, from measurements; not by hand.
"""


def write_part(name: str, text: str, *, folder: Path = CACHE) -> None:
    """Keeps a part until `write_results`."""
    target = folder / "results" / f"{name}.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text.strip() + "\n", "utf-8")


def write_results(output: Path, *, folder: Path = CACHE) -> None:
    """Writes the parts that there are, in their order, to `output`."""
    texts = [_HEAD]
    for name in PARTS:
        part = folder / "results" / f"{name}.md"
        if part.exists():
            texts.append(part.read_text("utf-8"))
    output.write_text("\n".join(texts), "utf-8")
