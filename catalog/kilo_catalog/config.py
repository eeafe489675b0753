"""The catalog's section of the configuration."""

from typing import Annotated

import msgspec
from msgspec import Meta

from kilo_catalog.domain.import_request import ImportMethod
from kilo_catalog.domain.limits import ArtifactLimits, Limits
from kilo_catalog.domain.locations import LocationSettings
from kilo_catalog.domain.protection import PropertyProtection
from kilo_catalog.domain.quotas import Quotas
from kilo_catalog.imaging.settings import ConversionSettings
from kilo_catalog.stores.settings import StoreSettings
from kilo_catalog.tasks.plugins.settings import (
    DecompressionSettings,
    InjectionRule,
    SignatureSettings,
)
from kilo_common.config import Section
from kilo_common.fetch.policy import FetchPolicy
from kilo_common.settings import DatabaseSettings, HttpSettings


class RegionSettings(Section, frozen=True):
    """Another catalog. Whoever may import here gets what this user may read there."""

    url: Annotated[
        str,
        Meta(
            description="Its Image API: http://HOST:9292. Empty: what the service catalog of "
            "`auth_url` says."
        ),
    ] = ""
    auth_url: Annotated[
        str,
        Meta(
            description="The Identity API to sign in at: http://HOST:5000/v3. Empty: the other "
            "side believes the name of a project (`auth.strategy` none)."
        ),
    ] = ""
    user: Annotated[str, Meta(description="Whom to sign in as.")] = ""
    password: Annotated[str, Meta(description="That user's password.")] = ""
    project: Annotated[
        str, Meta(description="The project, by its name. Empty: the importing one's, unproved.")
    ] = ""
    domain: Annotated[str, Meta(description="The domain of both.")] = "Default"
    region: Annotated[str, Meta(description="Its region in the service catalog. Empty: any.")] = ""
    properties: Annotated[
        tuple[str, ...],
        Meta(description="Properties that come with an image; `hw_*` for all that begin so."),
    ] = ("hw_*", "os_*", "img_*")


class UploadSettings(Section, frozen=True):
    """How image data is taken in."""

    block_size: Annotated[
        int,
        Meta(
            description="Bytes read at a time. An upload holds up to nine such blocks in memory; "
            "it is slower when they do not stay in the processor's cache.",
            ge=4096,
            le=64 << 20,
        ),
    ] = 512 << 10
    lease: Annotated[
        float,
        Meta(
            description="Seconds after which an upload whose process died is given up and its "
            "image is `queued` again. A living process renews it three times in this time.",
            ge=1.0,
        ),
    ] = 60.0
    resumable_for: Annotated[
        float,
        Meta(
            description="Seconds for which a resumable upload (tus) waits for its next request.",
            ge=60.0,
        ),
    ] = 86400.0
    stale_after: Annotated[
        float,
        Meta(
            description="Seconds after which an unfinished file that no record mentions is removed "
            "from a store.",
            ge=60.0,
        ),
    ] = 86400.0
    reap_every: Annotated[
        float, Meta(description="Seconds between two rounds of the reaper.", gt=0)
    ] = 15.0


class ImportSettings(Section, frozen=True):
    """How images are imported, and how the tasks that do it are worked on."""

    methods: Annotated[
        tuple[ImportMethod, ...], Meta(description="What clients may ask for.", min_length=1)
    ] = tuple(ImportMethod)
    plugins: Annotated[
        tuple[str, ...],
        Meta(
            description="What is done to data on its way in, in this order: `signature`, "
            "`decompress`, `convert`, `introspect`, `metadata`. Others come from the entry points "
            "of `kilostack.import_plugins`."
        ),
    ] = ("signature", "convert", "introspect", "metadata")
    decompression: Annotated[
        DecompressionSettings, Meta(description="How far the plugin `decompress` unpacks.")
    ] = DecompressionSettings()
    conversion: Annotated[
        ConversionSettings, Meta(description="How images are converted, and when.")
    ] = ConversionSettings()
    injection: Annotated[
        tuple[InjectionRule, ...],
        Meta(
            description="Properties that the plugin `metadata` gives: tables "
            "`[[catalog.imports.injection]]`."
        ),
    ] = ()
    signatures: Annotated[
        SignatureSettings, Meta(description="How the plugin `signature` trusts.")
    ] = SignatureSettings()
    fetch: Annotated[
        FetchPolicy, Meta(description="Which URLs may be imported from (`web-download`).")
    ] = FetchPolicy()
    regions: Annotated[
        dict[str, RegionSettings],
        Meta(
            description="Other catalogs that images can be read from (`glance-download`), by the "
            "name that clients give as `glance_region`."
        ),
    ] = msgspec.field(default_factory=dict)
    staged_for: Annotated[
        float,
        Meta(description="Seconds for which staged data waits for its import.", ge=60.0),
    ] = 86400.0
    concurrency: Annotated[
        int, Meta(description="Tasks that one worker process works on at a time.", ge=1, le=256)
    ] = 4
    per_project: Annotated[
        int, Meta(description="Tasks of one project that are worked on at a time, anywhere.", ge=1)
    ] = 16
    lease: Annotated[
        float,
        Meta(
            description="Seconds after which another worker takes up a task whose worker died. A "
            "living one renews its lease three times in this time.",
            ge=1.0,
        ),
    ] = 30.0
    attempts: Annotated[
        int, Meta(description="A task is given up when so many workers have died with it.", ge=1)
    ] = 5
    scratch: Annotated[
        str,
        Meta(description="A local folder for files that a step needs while it is at work."),
    ] = "{state_dir}/scratch"
    scratch_limit: Annotated[
        int, Meta(description="The most bytes that one step may have there.", ge=1 << 20)
    ] = 1 << 40


class CacheSettings(Section, frozen=True):
    """The cache of images whose data is in no file of this machine."""

    path: Annotated[
        str, Meta(description="A folder of this machine, for nothing else. Empty: no cache.")
    ] = "{state_dir}/cache"
    size: Annotated[
        int,
        Meta(description="Bytes; what was used longest ago goes when there are more.", ge=0),
    ] = 10 << 30
    node: Annotated[
        str,
        Meta(
            description="What this node is called in `GET /v2/cache/nodes/ID`: its own URL. "
            "Processes that share the folder share the name. Empty: `http.public_url`, or else "
            "made of the machine's name.",
            max_length=255,
        ),
    ] = ""


class CatalogSettings(Section, frozen=True):
    """The image catalog."""

    http: Annotated[HttpSettings, Meta(description="The Image API's listener.")] = HttpSettings(
        port=9292
    )
    database: Annotated[DatabaseSettings, Meta(description="Where records are kept.")] = (
        DatabaseSettings(url="sqlite:///{state_dir}/catalog.db")
    )
    stores: Annotated[
        dict[str, StoreSettings],
        Meta(
            description="The blob stores by name: each a table with `driver` and what that driver "
            "needs.",
            min_length=1,
        ),
    ] = msgspec.field(
        default_factory=lambda: {
            "main": StoreSettings(driver="filesystem", path="{state_dir}/images")
        }
    )
    default_store: Annotated[
        str, Meta(description="The store for data that names none.", min_length=1)
    ] = "main"
    staging_store: Annotated[
        str,
        Meta(
            description="The store for data that is staged or being imported. One of its own is "
            "not offered to clients. Empty: the default store, where an import into it then moves "
            "no byte."
        ),
    ] = ""
    artifacts: Annotated[ArtifactLimits, Meta(description="Artifacts.")] = ArtifactLimits()
    limits: Annotated[Limits, Meta(description="How big things may get.")] = Limits()
    quotas: Annotated[
        Quotas, Meta(description="What the images of each project may take together.")
    ] = Quotas()
    project_quotas: Annotated[
        dict[str, Quotas],
        Meta(
            description="Projects with quotas of their own: each a table with `images`, `size`, "
            "`uploads` and `staged`."
        ),
    ] = msgspec.field(default_factory=dict)
    upload: Annotated[UploadSettings, Meta(description="How data is taken in.")] = UploadSettings()
    imports: Annotated[ImportSettings, Meta(description="How images are imported.")] = (
        ImportSettings()
    )
    locations: Annotated[LocationSettings, Meta(description="The copies of an image's data.")] = (
        LocationSettings()
    )
    cache: Annotated[CacheSettings, Meta(description="The cache of this node.")] = CacheSettings()
    property_protections: Annotated[
        tuple[PropertyProtection, ...],
        Meta(
            description="Who may do what to certain properties of images: tables "
            "`[[catalog.property_protections]]` with `name` (a regular expression), `create`, "
            "`read`, `update` and `delete` (lists of roles, or rules of the policy). The first "
            "whose name fits a property decides; a property that none fits is then nobody's. None "
            "at all: no property is protected."
        ),
    ] = ()
    policy_file: Annotated[
        str,
        Meta(description="A YAML file of rules that override the default policy. Empty: none."),
    ] = ""
