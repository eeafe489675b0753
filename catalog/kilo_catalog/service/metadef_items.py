"""The operations on what is in a namespace: objects, properties, tags and resource types.

They are the same for all kinds; a `Kind` says what differs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic

from msgspec import structs

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.domain.attributes import check_count
from kilo_catalog.domain.metadef import (
    Association,
    I,
    MetadefObject,
    MetadefProperty,
    MetadefTag,
    Namespace,
    added,
    check_unprotected,
    find,
    removed,
    replaced,
)
from kilo_catalog.domain.metadef_bodies import (
    parse_association,
    parse_object,
    parse_property,
    parse_tag,
    parse_tags,
    read_only,
)
from kilo_catalog.errors import MetadefNotFound
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.metadef_access import MetadefAccess
from kilo_common.clock import Clock
from kilo_common.context import RequestContext


@dataclass(frozen=True)
class Kind(Generic[I]):
    """One kind of things in a namespace, and the rules that guard it."""

    noun: str
    """As errors and events call it."""
    field: str
    """Where a `Namespace` has them."""
    parse: Callable[[object, datetime, str | None], I]
    list_rule: str
    get_rule: str
    add_rule: str
    modify_rule: str
    remove_rule: str
    clear_rule: str

    def of(self, namespace: Namespace) -> tuple[I, ...]:
        """The things of this kind in a namespace."""
        found: tuple[I, ...] = getattr(namespace, self.field)
        return found


def _association(body: object, now: datetime, _name: str | None) -> Association:
    return parse_association(body, now)


OBJECTS = Kind[MetadefObject](
    "object", "objects", parse_object,
    "get_metadef_objects", "get_metadef_object", "add_metadef_object", "modify_metadef_object",
    "delete_metadef_object", "delete_metadef_object",
)  # fmt: skip
PROPERTIES = Kind[MetadefProperty](
    "property", "properties", parse_property,
    "get_metadef_properties", "get_metadef_property", "add_metadef_property",
    "modify_metadef_property", "remove_metadef_property", "remove_metadef_property",
)  # fmt: skip
TAGS = Kind[MetadefTag](
    "tag", "tags", parse_tag,
    "get_metadef_tags", "get_metadef_tag", "add_metadef_tag", "modify_metadef_tag",
    "delete_metadef_tag", "delete_metadef_tags",
)  # fmt: skip
ASSOCIATIONS = Kind[Association](
    "resource_type", "associations", _association,
    "list_metadef_resource_types", "get_metadef_resource_type",
    "add_metadef_resource_type_association", "add_metadef_resource_type_association",
    "remove_metadef_resource_type_association", "remove_metadef_resource_type_association",
)  # fmt: skip


@dataclass(frozen=True)
class MetadefItems:
    """List, show, add, change, remove."""

    unit_of_work: UnitOfWork
    access: MetadefAccess
    events: EventRecorder
    clock: Clock

    def list(
        self, context: RequestContext, name: str, kind: Kind[I]
    ) -> tuple[Namespace, tuple[I, ...]]:
        """The things of a kind in the namespace `name`, and the namespace.

        Raises:
            MetadefNotFound, PolicyForbids: see `MetadefAccess.find`.
        """
        namespace = self._find(context, name, kind.list_rule)
        return namespace, kind.of(namespace)

    def get(
        self, context: RequestContext, name: str, kind: Kind[I], item: str
    ) -> tuple[Namespace, I]:
        """One thing in the namespace `name`, and the namespace.

        Raises:
            MetadefNotFound, PolicyForbids: see `MetadefAccess.find`; or there is no such thing.
        """
        namespace = self._find(context, name, kind.get_rule)
        return namespace, find(kind.of(namespace), kind.noun, item)

    def get_property_on(
        self, context: RequestContext, name: str, item: str, resource_type: str
    ) -> MetadefProperty:
        """The property that has the name `item` on a type of resources, by the name it has there.

        Raises:
            MetadefNotFound, PolicyForbids: see `MetadefAccess.find`; or there is no such property,
                or the namespace is not for that type.
        """
        namespace = self._find(context, name, PROPERTIES.get_rule, ASSOCIATIONS.get_rule)
        prefix = find(namespace.associations, ASSOCIATIONS.noun, resource_type).prefix or ""
        if not item.startswith(prefix):
            raise MetadefNotFound(PROPERTIES.noun, item)
        found = find(namespace.properties, PROPERTIES.noun, item.removeprefix(prefix))
        return structs.replace(found, name=item)

    def add(
        self,
        context: RequestContext,
        name: str,
        kind: Kind[I],
        body: object,
        item: str | None = None,
    ) -> tuple[Namespace, I]:
        """Add the thing that `body` describes; `item` is its name if the body has none. It is
        returned with its namespace.

        Raises:
            MetadefInvalid, AttributeForbidden, LimitExceeded: the body is refused.
            MetadefNotFound, PolicyForbids: see `MetadefAccess.find`.
            MetadefExists: there is one of that name.
        """
        read_only(body)
        made = kind.parse(body, self.clock.now(), item)

        def change(namespace: Namespace) -> dict[str, Any]:
            return {kind.field: added(kind.of(namespace), kind.noun, made)}

        kept = self._change(context, name, kind.add_rule, f"{kind.noun}.create", made.name, change)
        return kept, made

    def replace(
        self, context: RequestContext, name: str, kind: Kind[I], item: str, body: object
    ) -> tuple[Namespace, I]:
        """Put what `body` describes in the place of `item`; it may have another name.

        Raises:
            MetadefInvalid, AttributeForbidden, LimitExceeded: the body is refused.
            MetadefNotFound, PolicyForbids: see `MetadefAccess.find`; or there is no such thing.
            MetadefExists: the new name is another's.
        """
        read_only(body)
        made = kind.parse(body, self.clock.now(), item)

        def change(namespace: Namespace) -> dict[str, Any]:
            present: Any = find(kind.of(namespace), kind.noun, item)
            new: Any = structs.replace(made, created_at=present.created_at)  # type: ignore[type-var]  # every item is a struct
            return {kind.field: replaced(kind.of(namespace), kind.noun, item, new)}

        event = f"{kind.noun}.update"
        kept = self._change(context, name, kind.modify_rule, event, made.name, change)
        return kept, find(kind.of(kept), kind.noun, made.name)

    def remove(self, context: RequestContext, name: str, kind: Kind[I], item: str) -> None:
        """Take one thing out of the namespace `name`.

        Raises:
            MetadefNotFound, PolicyForbids: see `MetadefAccess.find`; or there is no such thing.
            MetadefProtected: the namespace is protected.
        """

        def change(namespace: Namespace) -> dict[str, Any]:
            check_unprotected(namespace)
            return {kind.field: removed(kind.of(namespace), kind.noun, item)}

        self._change(context, name, kind.remove_rule, f"{kind.noun}.delete", item, change)

    def clear(self, context: RequestContext, name: str, kind: Kind[I]) -> None:
        """Take all things of a kind out of the namespace `name`. Raises as `remove`."""

        def change(namespace: Namespace) -> dict[str, Any]:
            check_unprotected(namespace)
            return {kind.field: ()}

        self._change(context, name, kind.clear_rule, f"{kind.noun}.delete", None, change)

    def set_tags(
        self, context: RequestContext, name: str, body: object, *, append: bool
    ) -> tuple[MetadefTag, ...]:
        """Give the namespace `name` the tags in `body`, beside those that it has or instead; the
        new ones are returned.

        Raises:
            MetadefInvalid, LimitExceeded: the body is refused.
            MetadefNotFound, PolicyForbids: see `MetadefAccess.find`.
            MetadefExists: a tag is named twice, or there already.
        """
        made = parse_tags(body, self.clock.now())
        check_count(len(made), self.access.limits.metadef_items, "tags")

        def change(namespace: Namespace) -> dict[str, Any]:
            tags = namespace.tags if append else ()
            for each in made:
                tags = added(tags, TAGS.noun, each)
            return {"tags": tags}

        self._change(context, name, "add_metadef_tags", "tag.create", None, change)
        return made

    def _find(self, context: RequestContext, name: str, *rules: str) -> Namespace:
        return self.unit_of_work.read(lambda tx: self.access.find(tx, context, name, *rules))

    def _change(
        self,
        context: RequestContext,
        name: str,
        rule: str,
        event: str,
        item: str | None,
        change: Callable[[Namespace], dict[str, Any]],
    ) -> Namespace:
        def work(transaction: Transaction) -> Namespace:
            namespace = self.access.find(transaction, context, name, rule)
            changed = structs.replace(namespace, **change(namespace))
            self.access.check_size(changed)
            kept = transaction.metadefs.update(changed)
            self.events.record_metadef(transaction, context, f"metadef_{event}", kept, item)
            return kept

        return self.unit_of_work.write(work)
