"""The table and the verdict of the device check."""

from pydantic import BaseModel

__all__ = ["Check", "Figures", "report"]


class Check(BaseModel):
    """One property.

    Attributes:
        what: is compared.
        passed: whether it holds.
        found: in words.
    """

    what: str
    passed: bool
    found: str


class Figures(BaseModel):
    """Of one set of devices.

    Attributes:
        devices: how many.
        batch: rows of a step.
        steps_per_second: of the second half of the steps.
        traffic: bytes of the first step by kind, for each replica.
    """

    devices: int
    batch: int
    steps_per_second: float
    traffic: list[dict[str, int]]


def report(
    kind: str, checks: list[Check], one: Figures, every: Figures, equal: Figures
) -> str:
    """Returns the lines to print.

    Args:
        kind: of the devices, in words.
        checks: all of them.
        one: speed of one device.
        every: speed of all devices.
        equal: the run of all devices that counted bytes of the batch.
    """
    lines = [f"one device against {kind}", ""]
    width = max(len(check.what) for check in checks)
    for check in checks:
        mark = "ok  " if check.passed else "FAIL"
        lines.append(f"  {mark}  {check.what:<{width}}  {check.found}")
    lines += ["", f"  steps of {one.batch:,} rows"]
    for name, figures in (("one device", one), ("all devices", every)):
        rate = figures.steps_per_second
        lines.append(
            f"    {name:<12} {rate:8.2f} steps/s  {rate * figures.batch:12,.0f} rows/s"
        )
    ratio = every.steps_per_second / one.steps_per_second
    lines.append(f"    {'ratio':<12} {ratio:8.2f}")
    lines += ["", "  bytes that each replica gives to the others in a step"]
    for number, sent in enumerate(equal.traffic):
        parts = ", ".join(f"{what} {size:,}" for what, size in sorted(sent.items()))
        lines.append(f"    replica {number}: {sum(sent.values()):,} = {parts}")
    failed = [check.what for check in checks if not check.passed]
    verdict = "all devices train what one device trains, and resume exactly"
    if failed:
        verdict = f"do NOT train on these devices: {', '.join(failed)} failed"
    if "logical" in kind:
        verdict += "; speeds of logical devices say nothing of real ones"
    return "\n".join([*lines, "", f"verdict: {verdict}"])
