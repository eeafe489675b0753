"""Which URLs may be fetched. A section of the configuration as well."""

from typing import Annotated

from msgspec import Meta

from kilo_common.config import Section


class FetchPolicy(Section, frozen=True):
    """Where requests to URLs given by users may go, and how much they may take."""

    schemes: Annotated[
        tuple[str, ...], Meta(description="Allowed schemes: `http`, `https`.", min_length=1)
    ] = ("http", "https")
    ports: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=65535)], ...],
        Meta(description="Allowed ports. An empty list allows every port."),
    ] = (80, 443)
    allowed_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Names that alone are allowed: `images.example.org`, or `.example.org` for "
            "all below it. Empty: every name whose addresses are allowed."
        ),
    ] = ()
    denied_hosts: Annotated[
        tuple[str, ...], Meta(description="Names that are refused, written as `allowed_hosts`.")
    ] = ()
    allowed_networks: Annotated[
        tuple[str, ...],
        Meta(
            description="Networks that are allowed although they are not public, such as "
            "`10.20.0.0/16`."
        ),
    ] = ()
    denied_networks: Annotated[
        tuple[str, ...], Meta(description="Networks that are refused although they are public.")
    ] = ()
    allow_loopback: Annotated[
        bool,
        Meta(
            description="Allow addresses of this machine itself. Whoever may give a URL then "
            "reaches every service that trusts loopback."
        ),
    ] = False
    max_redirects: Annotated[
        int, Meta(description="Redirects that are followed; each is checked.", ge=0, le=20)
    ] = 5
    connect_timeout: Annotated[
        float, Meta(description="Seconds for finding the address, and for each connection.", gt=0)
    ] = 10.0
    read_timeout: Annotated[
        float,
        Meta(description="Seconds without a byte after which the other side is given up.", gt=0),
    ] = 30.0
    total_timeout: Annotated[
        float, Meta(description="Seconds that one request may take in all.", gt=0)
    ] = 3600.0
    max_bytes: Annotated[
        int, Meta(description="The most bytes that are taken in from one URL.", ge=1)
    ] = 1 << 40
    ca_file: Annotated[
        str, Meta(description="Certificates to trust for https. Empty: the system's.")
    ] = ""
