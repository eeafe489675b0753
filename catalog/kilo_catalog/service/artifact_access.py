"""Who gets to an artifact: visibility first, then the policy. Every operation begins here."""

from typing import Any

from kilo_catalog.db.base import Transaction
from kilo_catalog.domain.artifact import Artifact, is_visible
from kilo_catalog.errors import ArtifactNotFound
from kilo_common.context import RequestContext
from kilo_common.policy import Policy

ANY = "all"
"""In a path, in place of a type's name."""


class ArtifactAccess:
    """Finds artifacts for a caller."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def find(
        self,
        transaction: Transaction,
        context: RequestContext,
        type_name: str,
        artifact_id: str,
        rule: str,
    ) -> Artifact:
        """The artifact of that type, if the caller may do to it what `rule` guards.

        Raises:
            ArtifactNotFound: there is none, or none that the caller may know of.
            PolicyForbids: the caller sees it, but may not do this.
        """
        artifact = transaction.artifacts.get(artifact_id)
        if type_name not in (ANY, artifact.type_name) or not is_visible(
            artifact, context.project_id, is_admin=context.is_admin
        ):
            raise ArtifactNotFound(f"There is no artifact {artifact_id[:64]}")
        self.policy.enforce(context, rule, target(artifact))
        return artifact


def target(artifact: Artifact) -> dict[str, Any]:
    """What a rule may ask about an artifact."""
    return {
        "id": artifact.id,
        "owner": artifact.owner,
        "project_id": artifact.owner,
        "visibility": artifact.visibility.value,
        "type_name": artifact.type_name,
    }
