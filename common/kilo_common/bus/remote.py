"""Errors that travel: an exception as data in a reply, and data as an exception at the caller.

The form is oslo.messaging's `failure`: JSON text with class, module, message, tb, args and kwargs.
Our errors add their dotted code and details in kwargs. A traceback never leaves the server.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from kilo_common.bus.errors import (
    ArgumentsInvalid,
    EnvelopeInvalid,
    NoSuchMethod,
    RemoteError,
    UnsupportedVersion,
)
from kilo_common.errors import KiloError

_PEER_MODULE = "oslo_messaging.rpc.dispatcher"
_PEER_NAMES: Mapping[type[KiloError], str] = {
    NoSuchMethod: "NoSuchMethod",
    UnsupportedVersion: "UnsupportedVersion",
}


def dump_failure(error: Exception) -> str:
    """`error` as the text of a reply's `failure`.

    Only what is meant for callers is told: a KiloError's message and details, another exception's
    class and text.
    """
    kwargs: dict[str, Any] = {}
    module, name = type(error).__module__, type(error).__name__
    if isinstance(error, KiloError):
        kwargs = {"code": error.code, "details": _plain(error.details)}
        peer = _PEER_NAMES.get(type(error))
        if peer:
            module, name = _PEER_MODULE, peer
    failure = {
        "class": name,
        "module": module,
        "message": str(error),
        "tb": [],
        "args": [str(error)],
        "kwargs": kwargs,
    }
    return msgspec.json.encode(failure).decode()


def load_failure(text: str, registered: Mapping[str, type[KiloError]]) -> KiloError:
    """The error a caller raises for a reply's `failure`.

    `registered` maps dotted codes to types that are rebuilt; everything else is a RemoteError.
    """
    try:
        data = msgspec.json.decode(text)
    except msgspec.DecodeError:
        data = None
    if not isinstance(data, dict):
        return EnvelopeInvalid("A reply on the bus carries a failure that cannot be read")
    kwargs = data.get("kwargs")
    kwargs = kwargs if isinstance(kwargs, dict) else {}
    details = kwargs.get("details")
    details = details if isinstance(details, dict) else {}
    code = kwargs.get("code") or f"{data.get('module')}.{data.get('class')}"
    message = str(data.get("message") or code)
    known = registered.get(str(code)) or _BUILT_IN.get(str(code))
    if known is not None:
        return known(message, **{str(key): value for key, value in details.items()})
    return RemoteError(message, **(details | {"remote_code": str(code)}))


def codes(types: Iterable[type[KiloError]]) -> dict[str, type[KiloError]]:
    """A registry for `load_failure`: the given types by their codes."""
    return {kind.code: kind for kind in types}


def _plain(details: Mapping[str, Any]) -> Any:
    return msgspec.to_builtins(dict(details), enc_hook=str)


_BUILT_IN: Mapping[str, type[KiloError]] = {
    **codes((NoSuchMethod, UnsupportedVersion, ArgumentsInvalid)),
    f"{_PEER_MODULE}.NoSuchMethod": NoSuchMethod,
    f"{_PEER_MODULE}.UnsupportedVersion": UnsupportedVersion,
}
