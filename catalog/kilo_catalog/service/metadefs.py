"""The operations on namespaces of metadata definitions, and on the types of resources."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from msgspec import structs

from kilo_catalog.db.base import Transaction, UnitOfWork
from kilo_catalog.domain.metadef import (
    Namespace,
    NamespacePage,
    ResourceType,
    check_unprotected,
    prefixed,
)
from kilo_catalog.domain.metadef_bodies import parse_contents, parse_namespace, read_only
from kilo_catalog.domain.metadef_query import Pairs, parse_namespaces
from kilo_catalog.errors import MetadefNotFound
from kilo_catalog.service.events import EventRecorder
from kilo_catalog.service.metadef_access import MetadefAccess, target
from kilo_common.clock import Clock
from kilo_common.context import RequestContext
from kilo_common.ids import IdSource

_READ_ALL = (
    "get_metadef_namespace",
    "get_metadef_objects",
    "get_metadef_properties",
    "get_metadef_tags",
)
_ADD = {
    "associations": "add_metadef_resource_type_association",
    "objects": "add_metadef_object",
    "properties": "add_metadef_property",
    "tags": "add_metadef_tag",
}


class Loaded(Enum):
    """What became of a definition that was to be loaded."""

    CREATED = "created"
    REPLACED = "replaced"
    KEPT = "kept as it is"
    """There is one of that name, and it was not to be replaced."""


@dataclass(frozen=True)
class Metadefs:
    """Create, show, list, change, delete, load."""

    unit_of_work: UnitOfWork
    access: MetadefAccess
    events: EventRecorder
    clock: Clock
    new_id: IdSource

    def create(self, context: RequestContext, body: object) -> Namespace:
        """Make a namespace with all that `body` says is in it.

        Raises:
            MetadefInvalid, AttributeForbidden, LimitExceeded: the body is refused.
            PolicyForbids: the caller may not make it, or something in it.
            MetadefExists: there is one of that name, or two things of one name in it.
        """
        read_only(body)
        made = self._new(body, context.project_id, self.clock.now())
        self.access.policy.enforce(context, "add_metadef_namespace", target(made))
        for what, rule in _ADD.items():
            if getattr(made, what):
                self.access.policy.enforce(context, rule, target(made))

        def work(transaction: Transaction) -> None:
            transaction.metadefs.add(made)
            self.events.record_metadef(transaction, context, "metadef_namespace.create", made)

        self.unit_of_work.write(work)
        return made

    def get(
        self, context: RequestContext, name: str, resource_type: str | None = None
    ) -> Namespace:
        """The namespace; its properties named as on `resource_type`, if one is given.

        Raises:
            MetadefNotFound, PolicyForbids: see `MetadefAccess.find`.
        """
        found = self.unit_of_work.read(lambda tx: self.access.find(tx, context, name, *_READ_ALL))
        return found if resource_type is None else prefixed(found, resource_type)

    def list_page(self, context: RequestContext, pairs: Pairs) -> NamespacePage:
        """One page of the namespaces that the caller may list and the query string asks for.

        Raises:
            ListQueryInvalid: the query string is malformed.
            PolicyForbids: the caller may not list.
        """
        about = {"project_id": context.project_id}
        for rule in ("get_metadef_namespaces", "list_metadef_resource_types"):
            self.access.policy.enforce(context, rule, about)
        query = parse_namespaces(
            pairs, self.access.limits, context.project_id, is_admin=context.is_admin
        )
        return self.unit_of_work.read(lambda tx: tx.metadefs.list_page(query))

    def update(self, context: RequestContext, name: str, body: object) -> Namespace:
        """Give a namespace other attributes, perhaps another name. What the body leaves out has its
        default again, except the owner; what is in the namespace stays.

        Raises:
            MetadefInvalid, AttributeForbidden: the body is refused.
            MetadefNotFound, PolicyForbids: see `MetadefAccess.find`.
            MetadefExists: the new name is another's.
        """
        read_only(body)
        values = parse_namespace(body)
        now = self.clock.now()

        def work(transaction: Transaction) -> Namespace:
            present = self.access.find(transaction, context, name, "modify_metadef_namespace")
            changed = structs.replace(present, updated_at=now, **values)
            kept = transaction.metadefs.update(changed)
            self.events.record_metadef(transaction, context, "metadef_namespace.update", kept)
            return kept

        return self.unit_of_work.write(work)

    def delete(self, context: RequestContext, name: str) -> None:
        """Delete a namespace and all that is in it.

        Raises:
            MetadefNotFound, PolicyForbids: see `MetadefAccess.find`.
            MetadefProtected: it is protected.
        """

        def work(transaction: Transaction) -> None:
            namespace = self.access.find(transaction, context, name, "delete_metadef_namespace")
            check_unprotected(namespace)
            transaction.metadefs.remove(namespace)
            self.events.record_metadef(transaction, context, "metadef_namespace.delete", namespace)

        self.unit_of_work.write(work)

    def resource_types(self, context: RequestContext) -> Sequence[ResourceType]:
        """The types of resources that some namespace is, or was, for.

        Raises:
            PolicyForbids: the caller may not list them.
        """
        about = {"project_id": context.project_id}
        self.access.policy.enforce(context, "list_metadef_resource_types", about)
        return self.unit_of_work.read(lambda tx: tx.metadefs.resource_types())

    def load(self, context: RequestContext, document: object, *, replace: bool) -> Loaded:
        """Take a definition in whole, as an operator does from a file.

        Raises:
            MetadefInvalid, LimitExceeded, MetadefExists: the document is refused.
        """
        made = self._new(document, context.project_id, self.clock.now())

        def work(transaction: Transaction) -> Loaded:
            try:
                present = transaction.metadefs.get(made.name)
            except MetadefNotFound:
                transaction.metadefs.add(made)
                event, outcome = "metadef_namespace.create", Loaded.CREATED
            else:
                if not replace:
                    return Loaded.KEPT
                transaction.metadefs.update(
                    structs.replace(
                        made,
                        id=present.id,
                        version=present.version,
                        created_at=present.created_at,
                    )
                )
                event, outcome = "metadef_namespace.update", Loaded.REPLACED
            self.events.record_metadef(transaction, context, event, made)
            return outcome

        return self.unit_of_work.write(work)

    def _new(self, body: object, owner: str | None, now: datetime) -> Namespace:
        values: dict[str, Any] = {"owner": owner, **parse_namespace(body)}
        assert isinstance(body, dict), "parse_namespace has seen it"
        made = Namespace(
            id=self.new_id(), created_at=now, updated_at=now, **values, **parse_contents(body, now)
        )
        self.access.check_size(made)
        return made
