"""Errors that travel: an exception as data in a reply, and data as an exception at the caller.

The form is oslo.messaging's `failure`: JSON text with class, module, message, tb, args and kwargs.
Our errors add their dotted code and details in kwargs. A traceback leaves the server only when it
was told to send it.
"""

import traceback
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
_REMOTE = "_Remote"
"""The suffix of the classes that a peer makes for errors that came over the bus."""
Registered = Mapping[str, type[Exception]]
"""The error types that are rebuilt, by dotted code, or by `module.Class` for those without one."""
_PEER_NAMES: Mapping[type[KiloError], str] = {
    NoSuchMethod: "NoSuchMethod",
    UnsupportedVersion: "UnsupportedVersion",
}


def dump_failure(error: Exception, *, with_traceback: bool = False) -> str:
    """`error` as the text of a reply's `failure`.

    Only what is meant for callers is told: a KiloError's message and details, another exception's
    class and text; and the traceback `with_traceback`, for a bus whose callers may see our code.
    """
    kwargs: dict[str, Any] = {}
    module, name = type(error).__module__, type(error).__name__
    if isinstance(error, KiloError):
        kwargs = {"code": error.code, "details": _plain(error.details)}
        peer = _PEER_NAMES.get(type(error))
        if peer:
            module, name = _PEER_MODULE, peer
    failure = {
        "class": name.removesuffix(_REMOTE),
        "module": module.removesuffix(_REMOTE),
        "message": str(error),
        "tb": traceback.format_exception(error) if with_traceback else [],
        "args": [str(error)],
        "kwargs": kwargs,
    }
    return msgspec.json.encode(failure).decode()


def load_failure(text: str, registered: Registered) -> Exception:
    """The error a caller raises for a reply's `failure`.

    Types that are `registered` are rebuilt; everything else is a RemoteError.
    """
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        data = None
    if not isinstance(data, dict):
        return EnvelopeInvalid("A reply on the bus carries a failure that cannot be read")
    kwargs = _object(data.get("kwargs"))
    details = {str(key): value for key, value in _object(kwargs.get("details")).items()}
    code = str(kwargs.get("code") or _peer_name(data))
    message = str(data.get("message") or code)
    known = registered.get(code) or _BUILT_IN.get(code)
    if known is not None:
        rebuilt = _rebuild(known, message, data.get("args"), details)
        if rebuilt is not None:
            return rebuilt
    trace = data.get("tb")
    if isinstance(trace, list) and trace:
        details["traceback"] = "".join(str(line) for line in trace)
    return RemoteError(message, **(details | {"remote_code": code}))


def codes(types: Iterable[type[Exception]]) -> Registered:
    """A registry for `load_failure`: the given types by the names they travel under."""
    return {
        kind.code if issubclass(kind, KiloError) else f"{kind.__module__}.{kind.__name__}": kind
        for kind in types
    }


def _peer_name(failure: Mapping[str, Any]) -> str:
    """The full name of a foreign exception, as today's Python has it."""
    module = str(failure.get("module")).removesuffix(_REMOTE)
    name = str(failure.get("class")).removesuffix(_REMOTE)
    return f"{'builtins' if module == 'exceptions' else module}.{name}"


def _rebuild(
    known: type[Exception], message: str, args: Any, details: Mapping[str, Any]
) -> Exception | None:
    if issubclass(known, KiloError):
        return known(message, **details)
    try:
        return known(*args) if isinstance(args, list) else known(message)
    except Exception:  # noqa: BLE001 - whatever a foreign constructor makes of foreign arguments
        return None


def _object(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, dict) else {}


def _plain(details: Mapping[str, Any]) -> Any:
    return msgspec.to_builtins(dict(details), enc_hook=str)


_BUILT_IN: Registered = {
    **codes((NoSuchMethod, UnsupportedVersion, ArgumentsInvalid, EnvelopeInvalid)),
    f"{_PEER_MODULE}.NoSuchMethod": NoSuchMethod,
    f"{_PEER_MODULE}.UnsupportedVersion": UnsupportedVersion,
}
