"""The interface to the metadata definitions. Every driver passes `tests/contracts/metadefs.py`."""

from collections.abc import Sequence
from typing import Protocol

from kilo_catalog.domain.metadef import Namespace, NamespacePage, NamespaceQuery, ResourceType


class MetadefRepository(Protocol):
    """The namespaces of metadata definitions, inside one transaction."""

    def add(self, namespace: Namespace) -> None:
        """Keep a new namespace.

        Raises:
            MetadefExists: there is one of that name. The transaction must end.
        """
        ...

    def get(self, name: str) -> Namespace:
        """The namespace of that name, with all that is in it.

        Raises:
            MetadefNotFound: there is none.
        """
        ...

    def update(self, namespace: Namespace) -> Namespace:
        """Keep a changed namespace, perhaps renamed, in place of the version it was made from; the
        kept one, with its new version, is returned.

        Raises:
            MetadefChanged: the record has moved on since. The transaction must end.
            MetadefExists: its new name is another's. The transaction must end.
        """
        ...

    def remove(self, namespace: Namespace) -> None:
        """Forget a namespace and all that is in it. Twice is harmless."""
        ...

    def list_page(self, query: NamespaceQuery) -> NamespacePage:
        """One page of the namespaces in reach that meet all conditions. Those with equal sort keys
        come in the order of their names.

        Raises:
            ListQueryInvalid: the marker is no namespace in reach.
        """
        ...

    def resource_types(self) -> Sequence[ResourceType]:
        """The types of resources that some namespace is, or was, for; by name."""
        ...
