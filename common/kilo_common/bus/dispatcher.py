"""Finds the method a request names and calls it. Only methods marked with `rpc` can be called."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from kilo_common.bus.envelope import Request
from kilo_common.bus.errors import ArgumentsInvalid, NoSuchMethod, UnsupportedVersion
from kilo_common.bus.target import accepts
from kilo_common.context import RequestContext

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "_kilo_rpc"


def rpc(function: F) -> F:
    """Mark a method of an endpoint as callable over the bus.

    It takes `self`, the caller's RequestContext, and arguments whose annotations say what they may
    be; a call with others is refused before the method runs.
    """
    setattr(function, _MARK, True)
    return function


class Endpoint:
    """The base of objects whose marked methods are served."""

    namespace: str | None = None
    version: str = "1.0"


class Dispatcher:
    """The methods of several endpoints."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = [(endpoint, _methods(endpoint)) for endpoint in endpoints]

    def dispatch(self, request: Request) -> Any:
        """Call the method that `request` names and return its result as JSON values.

        Raises:
            NoSuchMethod, UnsupportedVersion, ArgumentsInvalid: before anything ran.
            Whatever the method raises.
        """
        version_seen = False
        for endpoint, methods in self._endpoints:
            if endpoint.namespace != request.namespace:
                continue
            if not accepts(endpoint.version, request.version):
                version_seen = True
                continue
            method = methods.get(request.method)
            if method is not None:
                context = RequestContext.from_dict(request.context)
                result = method.function(context, **method.decode(request.args))
                return msgspec.to_builtins(result)
        if version_seen:
            raise UnsupportedVersion(
                f"Endpoint does not support RPC version {request.version}. "
                f"Attempted method: {request.method}",
                version=request.version,
                method=request.method,
            )
        raise NoSuchMethod(
            f"Endpoint does not support RPC method {request.method}", method=request.method
        )


class _Method:
    """One marked method and the types of its arguments."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        parameters = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        self._types = {each.name: each.annotation for each in parameters}
        self._required = {each.name for each in parameters if each.default is each.empty}

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(args) - set(self._types))
        missing = sorted(self._required - set(args))
        if unknown or missing:
            raise ArgumentsInvalid(
                f"{self.function.__name__} takes ({', '.join(self._types)}); "
                f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}",
                missing=missing,
                unknown=unknown,
            )
        try:
            return {name: msgspec.convert(args[name], self._types[name]) for name in args}
        except msgspec.ValidationError as fault:
            raise ArgumentsInvalid(f"{self.function.__name__}: {fault}") from None


def _methods(endpoint: Endpoint) -> dict[str, _Method]:
    return {
        name: _Method(method)
        for name, method in inspect.getmembers(endpoint, inspect.ismethod)
        if getattr(method, _MARK, False)
    }
