"""Who asks, for which project, in which request: it travels over HTTP and over the bus."""

import os
import random
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from kilo_common import ids

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class RequestContext(msgspec.Struct, frozen=True, kw_only=True):
    """The caller of one operation, frozen. Every service operation takes it first."""

    project_id: str | None = None
    user_id: str | None = None
    roles: tuple[str, ...] = ()
    request_id: str = msgspec.field(default_factory=ids.new_request_id)
    global_request_id: str | None = None
    traceparent: str = msgspec.field(default_factory=lambda: new_traceparent())
    """W3C Trace Context, version 00: `00-<trace id>-<parent id>-<flags>`."""

    @property
    def is_admin(self) -> bool:
        """Whether the caller holds the role `admin`."""
        return "admin" in self.roles

    def to_dict(self) -> dict[str, Any]:
        """The context as JSON values, for an envelope on the bus."""
        result: dict[str, Any] = msgspec.to_builtins(self)
        return result

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RequestContext":
        """The context out of an envelope; keys that other programs added are dropped.

        The span continues: the same trace id under a new parent id.
        """
        known = {name: values[name] for name in cls.__struct_fields__ if values.get(name)}
        known["traceparent"] = continue_trace(known.get("traceparent"))
        return msgspec.convert(known, cls, strict=False)


def system_context(project_id: str | None = None) -> RequestContext:
    """The context of work that nobody asked for: a relay, a reaper, a listener."""
    return RequestContext(project_id=project_id, user_id="kilostack", roles=("admin", "service"))


def new_traceparent() -> str:
    """The start of a trace, sampled."""
    # No secret, and each request makes one: the kernel's randomness takes longer to ask for.
    return f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-01"


def continue_trace(received: object) -> str:
    """A new span in the trace that was received, or a new trace if that is not a valid one."""
    if isinstance(received, str) and _TRACEPARENT.fullmatch(received):
        # Everything has its fixed place: version and trace id, parent id, flags.
        return f"{received[:36]}{os.urandom(8).hex()}{received[52:]}"
    return new_traceparent()
