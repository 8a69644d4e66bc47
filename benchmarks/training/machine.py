"""Names the machine and the libraries that something was measured with."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["machine"]

_OF_INTEREST = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")


def machine() -> str:
    """Returns a sentence: processor, cores, instruction sets, memory, date."""
    values = _first_processor()
    flags = values.get("flags", "").split()
    known = [flag for flag in _OF_INTEREST if flag in flags]
    absent = [flag for flag in _OF_INTEREST if flag not in flags]
    identity = ", ".join(
        f"{name} {values[name]}" for name in ("cpu family", "model") if name in values
    )
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
        f" {values.get('model name', platform.machine())} ({identity}; it has"
        f" {', '.join(known) or 'none of these'}, not {', '.join(absent)}),"
        f" {os.cpu_count()} CPUs, {pages:.0f} GiB; load at the start {load:.1f};"
        f" {platform.system()} {platform.release()}."
    )


def _first_processor() -> dict[str, str]:
    values: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return values
    for line in text.partition("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        values[name.strip()] = value.strip()
    return values
