"""What a store is configured by. A section of the catalog's configuration as well."""

from typing import Annotated

import msgspec
from msgspec import Meta

from kilo_common.config import Section
from kilo_common.fetch.policy import FetchPolicy


class S3Settings(Section, frozen=True):
    """For the driver `s3`."""

    bucket: Annotated[str, Meta(description="The bucket; it must exist.")] = ""
    prefix: Annotated[
        str, Meta(description="What all keys in the bucket begin with, such as `images/`.")
    ] = ""
    endpoint: Annotated[
        str, Meta(description="The server, such as http://127.0.0.1:9000. Empty: AWS.")
    ] = ""
    public_endpoint: Annotated[
        str, Meta(description="The server in pre-signed URLs. Empty: the same.")
    ] = ""
    region: Annotated[str, Meta(description="The region.")] = "us-east-1"
    access_key: Annotated[
        str, Meta(description="Empty: what boto3 finds (environment, profile, role).")
    ] = ""
    secret_key: Annotated[str, Meta(description="Goes with `access_key`.")] = ""
    path_style: Annotated[
        bool, Meta(description="Name the bucket in the path, as most servers but AWS want it.")
    ] = True
    part_size: Annotated[
        int,
        Meta(
            description="Bytes in a part of an upload; a writer holds one. S3 takes 10,000 parts: "
            "of 16 MiB each, 156 GiB.",
            ge=5 << 20,
            le=5 << 30,
        ),
    ] = 16 << 20


class SwiftSettings(Section, frozen=True):
    """For the driver `swift`."""

    auth_url: Annotated[
        str, Meta(description="http://HOST:5000/v3 (Keystone) or http://HOST/auth/v1.0.")
    ] = ""
    auth_version: Annotated[str, Meta(description="`1` or `3`.", pattern="^[13]$")] = "3"
    user: Annotated[str, Meta(description="The user; for version 1 `account:user`.")] = ""
    password: Annotated[str, Meta(description="The user's password or key.")] = ""
    project: Annotated[str, Meta(description="The user's project (version 3).")] = ""
    domain: Annotated[str, Meta(description="The domain of user and project (version 3).")] = (
        "Default"
    )
    region: Annotated[str, Meta(description="The region (version 3). Empty: any.")] = ""
    container: Annotated[
        str,
        Meta(description="The container; made if need be. A second one has the segments."),
    ] = "images"
    segment_size: Annotated[
        int,
        Meta(description="Bytes in a segment of a large object; a writer holds one.", ge=1 << 20),
    ] = 64 << 20
    temp_url_key: Annotated[
        str, Meta(description="The account's or container's key for pre-signed URLs. Empty: none.")
    ] = ""


class RbdSettings(Section, frozen=True):
    """For the driver `rbd`."""

    pool: Annotated[str, Meta(description="The pool.")] = "images"
    config_file: Annotated[str, Meta(description="Ceph's own configuration.")] = (
        "/etc/ceph/ceph.conf"
    )
    user: Annotated[str, Meta(description="The user, without `client.`.")] = "admin"
    object_size: Annotated[
        int, Meta(description="Bytes in an object of an image; a power of two.", ge=4096)
    ] = 8 << 20
    connect_timeout: Annotated[float, Meta(description="Seconds to wait for it.", gt=0)] = 30.0


class StoreSettings(Section, frozen=True):
    """One blob store."""

    driver: Annotated[
        str,
        Meta(
            description="`filesystem`: files in folders; `s3`: an S3-compatible server; `swift`: "
            "OpenStack's object store; `rbd`: Ceph; `sql`: a database, for tiny things; `http`: "
            "reads from web servers and keeps nothing; `memory`: gone when the process ends.",
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
    folders: Annotated[
        dict[str, int],
        Meta(
            description="Several folders of one `filesystem` store, each with its weight: new data "
            "goes to the heaviest that has room, among equals to the one with the most room."
        ),
    ] = msgspec.field(default_factory=dict)
    deduplicate: Annotated[
        bool,
        Meta(
            description="Keep equal data once (`filesystem`, in each folder; `s3`). What is there "
            "already stays as it is."
        ),
    ] = False
    url: Annotated[
        str,
        Meta(description="The database of a `sql` store: an SQLAlchemy URL."),
    ] = ""
    weight: Annotated[
        int, Meta(description="Data that several stores have is read from the heaviest.")
    ] = 0
    description: Annotated[str, Meta(description="What `GET /v2/info/stores` says about it.")] = ""
    s3: Annotated[S3Settings, Meta(description="For the driver `s3`.")] = S3Settings()
    swift: Annotated[SwiftSettings, Meta(description="For the driver `swift`.")] = SwiftSettings()
    rbd: Annotated[RbdSettings, Meta(description="For the driver `rbd`.")] = RbdSettings()
    http: Annotated[FetchPolicy, Meta(description="For the driver `http`: where it may go.")] = (
        FetchPolicy()
    )
