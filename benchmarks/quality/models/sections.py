"""Sections of jobs for every backbone that the trainer has."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from configs.backbones import BackboneSection
from trainer.backbones.registry import BACKBONES

__all__ = ["backbone_override", "backbone_sections", "overridden"]


def backbone_sections() -> dict[str, type[BackboneSection]]:
    """Returns the section of each backbone that can be built, by its name."""
    return {
        name: section
        for section in _descendants(BackboneSection)
        if "name" in section.model_fields
        for name in get_args(section.model_fields["name"].annotation)
        if name in BACKBONES
    }


def backbone_override(name: str, common: Mapping[str, Any], **own: Any) -> str:
    """Returns an override that sets the backbone.

    Args:
        name: of the backbone.
        common: settings that it takes as far as it has them.
        own: settings of this one.
    """
    known = backbone_sections()[name].model_fields
    values = {key: value for key, value in common.items() if key in known}
    return f"model.backbone={json.dumps({'name': name, **values, **own})}"


def overridden(settings: Mapping[str, Any]) -> list[str]:
    """Returns settings as overrides of a job, `place=value`."""
    return [f"{place}={json.dumps(value)}" for place, value in settings.items()]


def _descendants(section: type[BackboneSection]) -> Iterator[type[BackboneSection]]:
    for below in section.__subclasses__():
        yield below
        yield from _descendants(below)
