"""Values of a program as JSON values of an envelope, and back; contexts likewise."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import msgspec

from kilo_common.bus.errors import EnvelopeInvalid
from kilo_common.context import RequestContext

_PLAIN = frozenset({str, int, bool, float, type(None)})


class Serializer(ABC):
    """How a client, a server, a notifier or a listener turns what it sends and gets into JSON."""

    @abstractmethod
    def dump(self, value: Any) -> Any:
        """An argument, a result or a payload as JSON values.

        Raises:
            TypeError: it cannot be written as JSON; a fault of the program.
        """

    @abstractmethod
    def load(self, value: Any) -> Any:
        """An argument, a result or a payload out of JSON values."""

    @abstractmethod
    def dump_context(self, context: Any) -> Mapping[str, Any]:
        """A context as the values of an envelope."""

    @abstractmethod
    def load_context(self, values: Mapping[str, Any]) -> Any:
        """The context that endpoints are given.

        Raises:
            EnvelopeInvalid: the values are no context.
        """


class JsonSerializer(Serializer):
    """Whatever msgspec can write (structs, dataclasses, dates, UUIDs, enums) goes out as JSON; the
    context is a RequestContext, or on the way out any mapping."""

    def dump(self, value: Any) -> Any:
        return value if type(value) in _PLAIN else msgspec.to_builtins(value, str_keys=True)

    def load(self, value: Any) -> Any:
        return value

    def dump_context(self, context: Any) -> Mapping[str, Any]:
        if isinstance(context, RequestContext):
            return context.to_dict()
        if isinstance(context, Mapping):
            return {str(key): self.dump(value) for key, value in context.items()}
        raise TypeError(f"a context is a RequestContext or a mapping, not {type(context).__name__}")

    def load_context(self, values: Mapping[str, Any]) -> Any:
        try:
            return RequestContext.from_dict(values)
        except msgspec.ValidationError as fault:
            raise EnvelopeInvalid(f"The context of a message cannot be read: {fault}") from None


class MappingContextSerializer(JsonSerializer):
    """Like `JsonSerializer`, and endpoints get the context's values as they came: for a bus on
    which other programs' contexts travel."""

    def load_context(self, values: Mapping[str, Any]) -> Any:
        return dict(values)
