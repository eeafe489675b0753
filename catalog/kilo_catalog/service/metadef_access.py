"""Who gets to a namespace of metadata definitions: visibility first, then the policy."""

from dataclasses import dataclass
from typing import Any

import msgspec

from kilo_catalog.db.base import Transaction
from kilo_catalog.domain.limits import Limits
from kilo_catalog.domain.metadef import Namespace, check_size, is_visible
from kilo_catalog.errors import MetadefNotFound
from kilo_common.context import RequestContext
from kilo_common.policy import Policy


@dataclass(frozen=True)
class MetadefAccess:
    """Finds namespaces for a caller, and keeps what it makes of them."""

    policy: Policy
    limits: Limits

    def find(
        self, transaction: Transaction, context: RequestContext, name: str, *rules: str
    ) -> Namespace:
        """The namespace, if the caller may do to it what `rules` guard.

        Raises:
            MetadefNotFound: there is none, or none that the caller may know of.
            PolicyForbids: the caller sees it, but may not do this.
        """
        namespace = transaction.metadefs.get(name)
        if not is_visible(namespace, context.project_id, is_admin=context.is_admin):
            raise MetadefNotFound("namespace", name)
        for rule in rules:
            self.policy.enforce(context, rule, target(namespace))
        return namespace

    def check_size(self, namespace: Namespace) -> None:
        """Return if a namespace is not too big.

        Raises:
            LimitExceeded: it is.
        """
        check_size(namespace, self.limits, lambda found: len(msgspec.json.encode(found)))


def target(namespace: Namespace) -> dict[str, Any]:
    """What a rule may ask about a namespace."""
    return {
        "name": namespace.name,
        "owner": namespace.owner,
        "project_id": namespace.owner,
        "visibility": namespace.visibility.value,
    }
