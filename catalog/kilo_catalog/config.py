"""The catalog's section of the configuration."""

from typing import Annotated

import msgspec
from msgspec import Meta

from kilo_catalog.domain.limits import Limits
from kilo_catalog.domain.quotas import Quotas
from kilo_common.config import Section
from kilo_common.settings import DatabaseSettings, HttpSettings


class StoreSettings(Section, frozen=True):
    """One blob store."""

    driver: Annotated[
        str,
        Meta(
            description="`filesystem`: files in a folder; `memory`: gone when the process ends.",
            min_length=1,
        ),
    ] = "filesystem"
    path: Annotated[
        str,
        Meta(
            description="The folder of a `filesystem` store. `{state_dir}` stands for the state "
            "folder."
        ),
    ] = ""
    description: Annotated[str, Meta(description="What `GET /v2/info/stores` says about it.")] = ""


class UploadSettings(Section, frozen=True):
    """How image data is taken in."""

    block_size: Annotated[
        int,
        Meta(
            description="Bytes read, hashed and written at a time. An upload holds about three "
            "blocks in memory.",
            ge=4096,
            le=64 << 20,
        ),
    ] = 2 << 20
    lease: Annotated[
        float,
        Meta(
            description="Seconds after which an upload whose process died is given up and its "
            "image is `queued` again. A living process renews it three times in this time.",
            ge=1.0,
        ),
    ] = 60.0
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
            description="The blob stores by name: each a table with `driver`, `path` and "
            "`description`.",
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
    limits: Annotated[Limits, Meta(description="How big things may get.")] = Limits()
    quotas: Annotated[
        Quotas, Meta(description="What the images of each project may take together.")
    ] = Quotas()
    project_quotas: Annotated[
        dict[str, Quotas],
        Meta(
            description="Projects with quotas of their own: each a table with `images`, `size` and "
            "`uploads`."
        ),
    ] = msgspec.field(default_factory=dict)
    upload: Annotated[UploadSettings, Meta(description="How data is taken in.")] = UploadSettings()
    policy_file: Annotated[
        str,
        Meta(description="A YAML file of rules that override the default policy. Empty: none."),
    ] = ""
