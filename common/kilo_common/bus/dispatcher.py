"""Finds the method a request names and calls it. Only methods marked with `rpc` can be called."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import msgspec

from kilo_common.bus.envelope import Request
from kilo_common.bus.errors import ArgumentsInvalid, NoSuchMethod, UnsupportedVersion
from kilo_common.bus.serializer import JsonSerializer, Serializer
from kilo_common.bus.target import accepts

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "_kilo_rpc"


@dataclass(frozen=True)
class Marking:
    """What `rpc` says about a method."""

    expected_exceptions: tuple[type[Exception], ...] = ()
    """What it may raise without that being a failure of the server: it is not logged as one."""
    once: bool = False
    """A request that is known to be a duplicate is not run; its caller gets the first answer."""


class RequestInfo(msgspec.Struct, frozen=True):
    """How a request came. A method that has a parameter of this type is given it."""

    method: str
    unique_id: str
    """The same in every copy of the request: by this a method can know a duplicate."""
    redelivered: bool
    """Another server, or this one, had the request before and did not finish."""
    is_call: bool
    """Somebody waits for the result."""
    headers: Mapping[str, str]


@overload
def rpc(function: F, /) -> F: ...
@overload
def rpc(
    *, expected_exceptions: Sequence[type[Exception]] = (), once: bool = False
) -> Callable[[F], F]: ...
def rpc(
    function: F | None = None,
    /,
    *,
    expected_exceptions: Sequence[type[Exception]] = (),
    once: bool = False,
) -> F | Callable[[F], F]:
    """Mark a method of an endpoint as callable over the bus: `@rpc`, or with the fields of
    `Marking`: `@rpc(once=True)`.

    It takes `self`, the caller's context, and arguments whose annotations say what they may be; a
    call with others is refused before the method runs.
    """
    marking = Marking(tuple(expected_exceptions), once)

    def mark(method: F) -> F:
        setattr(method, _MARK, marking)
        return method

    return mark if function is None else mark(function)


class Endpoint:
    """The base of objects whose marked methods are served."""

    namespace: str | None = None
    version: str = "1.0"


class Method:
    """One marked method and the types of its arguments."""

    def __init__(self, endpoint: Endpoint, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.namespace = endpoint.namespace
        self.version = endpoint.version
        self.function = function
        self.marking: Marking = getattr(function, _MARK)
        signature = inspect.signature(function, eval_str=True)
        parameters = list(signature.parameters.values())[1:]  # the context goes first
        self.info = next((each.name for each in parameters if each.annotation is RequestInfo), None)
        self.parameters = {
            each.name: each for each in parameters if each.annotation is not RequestInfo
        }
        self.returns = signature.return_annotation
        self._types = {name: _type(each) for name, each in self.parameters.items()}
        self._required = {
            name for name, each in self.parameters.items() if each.default is each.empty
        }

    def decode(self, args: Mapping[str, Any], load: Callable[[Any], Any]) -> dict[str, Any]:
        """The arguments as the annotations have them.

        Raises:
            ArgumentsInvalid: one is missing, unknown or not what its annotation says.
        """
        types, convert = self._types, msgspec.convert
        if args.keys() != types.keys():
            self._check_names(args)
        name = ""
        try:
            found = {}
            for name, value in args.items():
                found[name] = convert(load(value), types[name])
        except msgspec.ValidationError as fault:
            raise ArgumentsInvalid(f"{self.name}: {name}: {fault}", argument=name) from None
        return found

    def _check_names(self, args: Mapping[str, Any]) -> None:
        unknown = sorted(set(args) - set(self._types))
        missing = sorted(self._required - set(args))
        if unknown or missing:
            raise ArgumentsInvalid(
                f"{self.name} takes ({', '.join(self._types)}); "
                f"missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}",
                missing=missing,
                unknown=unknown,
            )


class Dispatcher:
    """The methods of several endpoints."""

    def __init__(self, endpoints: Sequence[Endpoint], serializer: Serializer | None = None) -> None:
        self._serializer = serializer or JsonSerializer()
        self._methods: dict[tuple[str | None, str], list[Method]] = {}
        for endpoint in endpoints:
            for method in methods_of(endpoint):
                self._methods.setdefault((method.namespace, method.name), []).append(method)
        self._versions = {(each.namespace, each.version) for each in endpoints}

    def find(self, request: Request) -> Method:
        """The method that `request` names.

        Raises:
            NoSuchMethod, UnsupportedVersion: there is none.
        """
        for method in self._methods.get((request.namespace, request.method), ()):
            if accepts(method.version, request.version):
                return method
        versions = [version for space, version in self._versions if space == request.namespace]
        if versions and not all(accepts(each, request.version) for each in versions):
            raise UnsupportedVersion(
                f"Endpoint does not support RPC version {request.version}. "
                f"Attempted method: {request.method}",
                version=request.version,
                method=request.method,
            )
        raise NoSuchMethod(
            f"Endpoint does not support RPC method {request.method}", method=request.method
        )

    def dispatch(self, method: Method, request: Request, info: Callable[[], RequestInfo]) -> Any:
        """Call `method` as `request` asks and return its result as JSON values.

        Raises:
            ArgumentsInvalid, EnvelopeInvalid: before anything ran.
            Whatever the method raises.
        """
        arguments = method.decode(request.args, self._serializer.load)
        if method.info is not None:
            arguments[method.info] = info()
        context = self._serializer.load_context(request.context)
        return self._serializer.dump(method.function(context, **arguments))


def methods_of(endpoint: Endpoint) -> list[Method]:
    """The marked methods of one endpoint, by name."""
    return [
        Method(endpoint, name, method)
        for name, method in inspect.getmembers(endpoint, inspect.ismethod)
        if hasattr(method, _MARK)
    ]


def _type(parameter: inspect.Parameter) -> Any:
    return Any if parameter.annotation is parameter.empty else parameter.annotation
