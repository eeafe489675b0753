"""What the blueprints get: the operations, and the few facts about this service they show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kilo_catalog.domain.limits import Limits
from kilo_catalog.service.artifact_blobs import ArtifactBlobs
from kilo_catalog.service.artifact_types import ArtifactTypes
from kilo_catalog.service.artifacts import Artifacts
from kilo_catalog.service.cache_admin import CacheAdmin
from kilo_catalog.service.conversions import Conversions
from kilo_catalog.service.image_data import ImageData
from kilo_catalog.service.images import Images
from kilo_catalog.service.imports import Imports
from kilo_catalog.service.introspection import Introspection
from kilo_catalog.service.locations import Locations
from kilo_catalog.service.members import Members
from kilo_catalog.service.metadef_items import MetadefItems
from kilo_catalog.service.metadefs import Metadefs
from kilo_catalog.service.quotas import ProjectQuotas
from kilo_catalog.service.resumable import ResumableUploads
from kilo_catalog.service.staging import Staging
from kilo_catalog.service.tags import Tags
from kilo_catalog.service.tasks import Tasks
from kilo_common.clock import Clock
from kilo_common.policy import Policy


@dataclass(frozen=True)
class StoreInfo:
    """A store as `/v2/info/stores` shows it."""

    driver: str
    description: str
    weight: int
    read_only: bool
    capabilities: Sequence[str]
    """What its driver promises."""


@dataclass(frozen=True)
class ApiServices:
    """All that the Image API is built of."""

    images: Images
    image_data: ImageData
    introspection: Introspection
    staging: Staging
    imports: Imports
    conversions: Conversions
    tasks: Tasks
    cache: CacheAdmin
    members: Members
    locations: Locations
    uploads: ResumableUploads
    clock: Clock
    tags: Tags
    metadefs: Metadefs
    metadef_items: MetadefItems
    artifacts: Artifacts
    artifact_blobs: ArtifactBlobs
    artifact_types: ArtifactTypes
    quotas: ProjectQuotas
    policy: Policy
    stores: Mapping[str, StoreInfo]
    default_store: str
    limits: Limits
    block_size: int
    public_url: str = ""
