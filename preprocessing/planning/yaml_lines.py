"""Lines of YAML, before they are joined."""

from typing import Any

import yaml

__all__ = ["Piece", "flow"]

Piece = tuple[str, int, str]
"""`line`, `comment` or `question`; the indentation; the text."""


def flow(value: Any) -> str:
    """Writes a value as YAML in one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, width=10**9, allow_unicode=True
    )
    return text.removesuffix("\n").removesuffix("\n...")
