"""How images are converted. A section of the catalog's configuration as well."""

from enum import Enum
from typing import Annotated

from msgspec import Meta

from kilo_common.config import Section


class Tool(Enum):
    """What converts."""

    AUTO = "auto"
    """qemu-img where it is installed, otherwise our own code."""
    QEMU_IMG = "qemu-img"
    """qemu-img; without it nothing is converted."""
    BUILT_IN = "built-in"
    """Our own code, which knows raw and qcow2."""


class ConversionSettings(Section, frozen=True):
    """How images are converted."""

    target: Annotated[
        str,
        Meta(
            description="The disk format that imported images are converted to, such as `raw`. An "
            "import may name another. Empty: as they are."
        ),
    ] = ""
    uploads: Annotated[
        bool,
        Meta(
            description="Convert images that are uploaded at once (`PUT …/file`) as well: each is "
            "active as it came, and is converted in place by a task."
        ),
    ] = False
    compress: Annotated[
        bool, Meta(description="Compress what is converted, in formats that can do that.")
    ] = False
    tool: Annotated[Tool, Meta(description="What converts.")] = Tool.AUTO
    qemu_img: Annotated[str, Meta(description="The program; a name is looked for in PATH.")] = (
        "qemu-img"
    )
    time_limit: Annotated[
        float, Meta(description="Seconds after which one conversion is given up.", gt=0)
    ] = 3600.0
    memory_limit: Annotated[
        int, Meta(description="The most bytes of memory that qemu-img may have.", ge=128 << 20)
    ] = 1 << 30
