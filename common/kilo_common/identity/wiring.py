"""Puts the identity service together. The only module that knows its concrete classes."""

from dataclasses import dataclass

from kilo_common.clock import Clock
from kilo_common.http.gateway import Gateway, GatewayOptions
from kilo_common.http.metrics import HttpMetrics
from kilo_common.identity.app import PUBLIC_PATHS, IdentityApp
from kilo_common.identity.catalog import ServiceCatalog
from kilo_common.identity.documents import error_body
from kilo_common.identity.service import open_identities
from kilo_common.identity.strategy import DevAuth, url_of
from kilo_common.settings import DevIdentitySettings


@dataclass(frozen=True)
class IdentityApi:
    """The Identity API in one process."""

    app: Gateway
    catalog: ServiceCatalog
    """To be filled with the services, as they begin to listen."""


def build(settings: DevIdentitySettings, clock: Clock) -> IdentityApi:
    """The Identity API over the configured users.

    Raises:
        DirectoryInvalid, KeyInvalid: the configuration or the key file is wrong.
    """
    identities = open_identities(settings, clock)
    catalog = ServiceCatalog(settings.region)
    options = GatewayOptions(
        service="identity",
        error_body=error_body,
        public_paths=PUBLIC_PATHS,
        cors_origins=settings.http.cors_origins,
    )
    auth = DevAuth(identities, url_of(settings.http), needs_project=False)
    app = IdentityApp(identities, catalog, settings.http.public_url)
    return IdentityApi(Gateway(app, options, auth, HttpMetrics("identity")), catalog)
