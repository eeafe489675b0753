"""What the bytes of an image say about themselves, whatever they were declared to be."""

from collections.abc import Mapping

from msgspec import Struct

PREFIX = "introspected_"
"""Of the properties that repeat findings."""
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_PUBLISHED = (
    "partition_table", "file_system", "label", "encrypted", "cluster_size", "compat", "variant",
    "compression",
)  # fmt: skip


class Findings(Struct, frozen=True):
    """The result of one look at an image's bytes."""

    format: str
    """What the bytes are: `raw` if nothing else was recognised."""
    virtual_size: int | None = None
    """Bytes of the disk that a guest sees; None where that is not known from outside."""
    facts: Mapping[str, str] = {}
    """What else the format tells, each under a name such as `cluster_size`, `partition_table`,
    `file_system` or `label`; sizes are in bytes."""
    warnings: tuple[str, ...] = ()
    """Sentences about what is odd, but no reason to refuse the image."""


def describe(findings: Findings, size: int | None) -> str:
    """The findings in one line, such as `qcow2 (compat 1.1), a disk of 3 GiB, 193 KiB of data`."""
    facts = findings.facts
    details = [f"{key} {facts[key]}" for key in ("compat", "variant") if facts.get(key)]
    words = [f"{findings.format} ({', '.join(details)})" if details else findings.format]
    if findings.virtual_size is not None and findings.virtual_size != size:
        words.append(f"a disk of {human_size(findings.virtual_size)}")
    if size is not None:
        words.append(f"{human_size(size)} of data")
    if "partition_table" in facts:
        words.append(
            f"{facts.get('partitions', 'unknown')} partitions ({facts['partition_table']})"
        )
    if "file_system" in facts:
        label = f" with the label {facts['label']!r}" if facts.get("label") else ""
        words.append(f"{facts['file_system']}{label}")
    if "content" in facts:
        words.append(f"{facts['content']} inside")
    if "encrypted" in facts:
        words.append(f"encrypted ({facts['encrypted']})")
    return ", ".join(words)


def human_size(size: int) -> str:
    """A number of bytes in the unit people would use."""
    amount, unit = float(size), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f}".removesuffix(".0") + f" {_UNITS[unit]}"


def as_properties(findings: Findings | None) -> dict[str, str]:
    """The findings that are told as properties of the image."""
    if findings is None:
        return {}
    facts = findings.facts
    return {f"{PREFIX}{name}": facts[name] for name in _PUBLISHED if facts.get(name)}
