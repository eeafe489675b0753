"""How the plugins of an import work. Sections of the catalog's configuration as well."""

from typing import Annotated

from msgspec import Meta

from kilo_common.config import Section
from kilo_common.fetch.policy import FetchPolicy


class DecompressionSettings(Section, frozen=True):
    """How far compressed data is unpacked (plugin `decompress`)."""

    most_bytes: Annotated[
        int, Meta(description="The most bytes that data may unpack to.", ge=1)
    ] = 1 << 38
    most_ratio: Annotated[
        int,
        Meta(
            description="How many times larger than before data may get; that counts once it is "
            "larger than 1 GiB.",
            ge=2,
        ),
    ] = 1000


class InjectionRule(Section, frozen=True):
    """Properties that imported images get (plugin `metadata`), by the role of who imports."""

    properties: Annotated[
        dict[str, str], Meta(description="The properties, in place of those of the same name.")
    ]
    roles: Annotated[
        tuple[str, ...], Meta(description="Whoever has one of these. Empty: everybody.")
    ] = ()
    except_roles: Annotated[
        tuple[str, ...], Meta(description="But nobody who has one of these.")
    ] = ()


class SignatureSettings(Section, frozen=True):
    """How signatures of images are checked (plugin `signature`)."""

    certificates: Annotated[
        str,
        Meta(
            description="A folder with certificates that are trusted, in PEM: the file "
            "`UUID.pem` for each `img_signature_certificate_uuid`. Empty: there is none."
        ),
    ] = ""
    url: Annotated[
        str,
        Meta(
            description="A key manager's address for a certificate, with `{uuid}` in it, such as "
            "https://HOST:9311/v1/secrets/{uuid}/payload. Asked for what the folder does not have; "
            "needs `authorities`."
        ),
    ] = ""
    token: Annotated[str, Meta(description="Sent to it as X-Auth-Token. Empty: nothing.")] = ""
    authorities: Annotated[
        str,
        Meta(
            description="A file with certificates in PEM, one of which must have issued each "
            "certificate that comes from the key manager."
        ),
    ] = ""
    fetch: Annotated[FetchPolicy, Meta(description="Where the key manager may be.")] = FetchPolicy()
    required: Annotated[bool, Meta(description="Refuse images that have no signature.")] = False
