"""An AsyncAPI 3.0 document of what services declare: a pure function from types to JSON values."""

import inspect
from collections.abc import Sequence
from typing import Any

import msgspec

from kilo_common.bus.declarations import BusDeclaration, EventDeclaration, ServerDeclaration
from kilo_common.bus.dispatcher import Method, methods_of

Json = dict[str, Any]
_SCHEMAS = "#/components/schemas/{name}"
_DESCRIPTION = """\
Every message is an oslo.messaging 2.0 envelope: a JSON object of `oslo.version` ("2.0") and \
`oslo.message`, whose text is the JSON object that a message's payload describes here. The \
caller's context travels in it under keys that begin with `_context_`. Messages marked as bare \
have no envelope."""


def document(
    declarations: Sequence[BusDeclaration],
    *,
    title: str,
    version: str,
    exchange: str,
    notification_topic: str,
) -> Json:
    """The document, as JSON values."""
    builder = _Builder(_types(declarations), exchange, notification_topic)
    for declaration in declarations:
        builder.add(declaration)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version, "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": builder.channels,
        "operations": builder.operations,
        "components": {"messages": builder.messages, "schemas": builder.schemas},
    }


def _types(declarations: Sequence[BusDeclaration]) -> list[Any]:
    """Every type that is described, without repetition."""
    found: list[Any] = []
    for each in declarations:
        found += [event.payload for event in each.events]
        found += [message.content for message in each.messages]
        for method in (m for server in each.servers for m in _methods(server)):
            found += [_annotation(p.annotation) for p in method.parameters.values()]
            found.append(_annotation(method.returns))
    unique: list[Any] = []
    for kind in found:
        if kind not in unique:
            unique.append(kind)
    return unique


class _Builder:
    """Collects the parts of a document."""

    def __init__(self, types: list[Any], exchange: str, notification_topic: str) -> None:
        schemas, components = msgspec.json.schema_components(types, ref_template=_SCHEMAS)
        self._by_type = list(zip(types, schemas, strict=True))
        self._exchange = exchange
        self._topic = notification_topic
        self.schemas: Json = dict(components)
        self.channels: Json = {}
        self.operations: Json = {}
        self.messages: Json = {}

    def add(self, declaration: BusDeclaration) -> None:
        """Describe one service."""
        for event in declaration.events:
            self._add_event(declaration, event)
        for server in declaration.servers:
            for method in _methods(server):
                self._add_method(declaration.service, server, method)
        for message in declaration.messages:
            address = message.target.address.name + ("_fanout" if message.target.fanout else "")
            name = f"{declaration.service}.{message.name}"
            self._message(
                name, f"{message.summary} Bare: no envelope.", self._schema(message.content)
            )
            self._channel(address, name, "Between the processes of one service.")
            for action in ("send", "receive"):
                self._operation(f"{action}.{name}", action, address, [name], message.summary)
        for priority in declaration.hears:
            address = f"{self._topic}.{priority}"
            self._channel(address, None, f"Notifications of priority {priority.upper()}.")
            self.operations[f"{declaration.service}.hears.{priority}"] = {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{address}"},
                "summary": f"{declaration.service}: {declaration.summary}",
            }

    def _add_event(self, declaration: BusDeclaration, event: EventDeclaration) -> None:
        address = f"{self._topic}.{event.priority}"
        payload = {
            "message_id": {"type": "string", "format": "uuid"},
            "publisher_id": {"type": "string", "examples": [declaration.publisher_id]},
            "event_type": {"const": event.event_type},
            "priority": {"const": event.priority.upper()},
            "timestamp": {"type": "string", "examples": ["2026-11-23 01:12:15.961590"]},
            "payload": self._schema(event.payload),
        }
        self._message(event.event_type, event.summary, _object(payload))
        self._channel(
            address, event.event_type, f"Notifications of priority {event.priority.upper()}."
        )
        self._operation(
            *(f"announce.{event.event_type}", "send", address, [event.event_type], event.summary)
        )

    def _add_method(self, service: str, server: ServerDeclaration, method: Method) -> None:
        topic = server.target.topic
        name = ".".join(filter(None, (topic, method.namespace, method.name)))
        required = [
            parameter.name
            for parameter in method.parameters.values()
            if parameter.default is inspect.Parameter.empty
        ]
        arguments = {
            parameter.name: self._schema(_annotation(parameter.annotation))
            for parameter in method.parameters.values()
        }
        fields: Json = {"method": {"const": method.name}, "args": _object(arguments, required)}
        if method.namespace is not None:
            fields["namespace"] = {"const": method.namespace}
        fields["version"] = {"type": "string", "default": "1.0", "examples": [method.version]}
        needed = [key for key in fields if key != "version"]
        summary = inspect.getdoc(method.function) or f"Runs {method.name} in {service}."
        self._message(name, summary.partition("\n")[0], _object(fields, needed))
        result = {
            "result": self._schema(_annotation(method.returns)),
            "failure": {"type": ["string", "null"], "description": "JSON: class, module, message."},
            "ending": {"type": "boolean"},
        }
        self._message(f"{name}.reply", f"The answer of {name}.", _object(result))
        self._channel(topic, name, f"Requests to {service}; any one of its servers takes each.")
        self._channel("reply", f"{name}.reply", "A queue of the caller's.", address=None)
        self._operation(f"serve.{name}", "receive", topic, [name], summary.partition("\n")[0])
        self.operations[f"serve.{name}"]["reply"] = {
            "address": {"location": "$message.payload#/_reply_q"},
            "channel": {"$ref": "#/channels/reply"},
            "messages": [{"$ref": f"#/channels/reply/messages/{name}.reply"}],
        }

    def _schema(self, kind: Any) -> Json:
        # By identity and equality, for not every annotation can be hashed.
        return next(schema for known, schema in self._by_type if known is kind or known == kind)

    def _message(self, name: str, summary: str, payload: Json) -> None:
        self.messages[name] = {"name": name, "summary": summary, "payload": payload}

    def _channel(
        self, key: str, message: str | None, description: str, *, address: str | None = ""
    ) -> None:
        channel = self.channels.setdefault(
            key,
            {
                "address": key if address == "" else address,
                "messages": {},
                "description": f"{description} Exchange: {self._exchange}.",
            },
        )
        if message is not None:
            channel["messages"][message] = {"$ref": f"#/components/messages/{message}"}

    def _operation(
        self, key: str, action: str, channel: str, messages: Sequence[str], summary: str
    ) -> None:
        self.operations[key] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": summary,
            "messages": [{"$ref": f"#/channels/{channel}/messages/{each}"} for each in messages],
        }


def _methods(server: ServerDeclaration) -> list[Method]:
    return [method for endpoint in server.endpoints for method in methods_of(endpoint)]


def _annotation(annotation: Any) -> Any:
    return Any if annotation is inspect.Parameter.empty else annotation


def _object(properties: Json, required: Sequence[str] | None = None) -> Json:
    needed = list(properties) if required is None else list(required)
    return {"type": "object", "properties": properties, "required": needed}
