"""Renews the leases of this process's uploads, so that a slow client loses nothing."""

from kilo_catalog.service.upload_claims import UploadClaims
from kilo_catalog.tasks.periodic import Periodic


class LeaseRenewal:
    """Renews three times in a lease: two failures in a row lose no upload."""

    def __init__(self, claims: UploadClaims, lease: float) -> None:
        self._claims = claims
        self._periodic = Periodic("catalog-leases", lease / 3, self.run_once)

    def start(self) -> None:
        """Begin to renew."""
        self._periodic.start()

    def stop(self, timeout: float) -> None:
        """Renew no more."""
        self._periodic.stop(timeout)

    def run_once(self) -> None:
        """Renew every lease once."""
        self._claims.renew_all()
