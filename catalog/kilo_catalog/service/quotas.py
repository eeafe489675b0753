"""Holds projects to their quotas.

What is used is counted in the transaction that takes more, and only where there is a limit. On a
database server, transactions that run at the same time do not see each other: as many of them as
begin together can pass the last place of a quota.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kilo_catalog.db.base import Transaction
from kilo_catalog.domain.quotas import UNLIMITED, Quotas
from kilo_catalog.errors import QuotaExceeded


@dataclass(frozen=True)
class Room:
    """How much an upload may bring, and why not more."""

    project_id: str | None
    quota: int
    used: int
    what: str = "size"

    def check(self, size: int) -> None:
        """Return if there is room for so many bytes.

        Raises:
            QuotaExceeded: there is not.
        """
        if self.quota != UNLIMITED and self.used + size > self.quota:
            which = "staged for imports" if self.what == "staged" else "together"
            raise QuotaExceeded(
                f"The images of project {self.project_id} may have {self.quota} bytes {which} "
                f"and have {self.used}; delete some, or ask for a higher quota",
                what=self.what,
                quota=self.quota,
                used=self.used,
            )


@dataclass(frozen=True)
class ProjectQuotas:
    """The quotas of all projects."""

    default: Quotas
    projects: Mapping[str, Quotas]
    """Quotas of their own, by project."""

    def of(self, project_id: str | None) -> Quotas:
        """The quotas of one project."""
        return self.projects.get(project_id or "", self.default)

    def check_new_image(self, transaction: Transaction, owner: str | None) -> None:
        """Return if a project may have one image more.

        Raises:
            QuotaExceeded: it may not.
        """
        quota = self.of(owner).images
        if quota != UNLIMITED:
            used = transaction.images.usage(owner).images
            if used >= quota:
                raise _too_many("images", owner, quota, used)

    def check_new_upload(self, transaction: Transaction, owner: str | None) -> Room:
        """The room for one upload more.

        Raises:
            QuotaExceeded: the project has as many uploads under way as it may have.
        """
        self._check_uploads(transaction, owner)
        return self.room(transaction, owner)

    def check_new_stage(self, transaction: Transaction, owner: str | None) -> Room:
        """The room for the data of one import more. Raises as `check_new_upload`."""
        self._check_uploads(transaction, owner)
        return self.stage_room(transaction, owner)

    def stage_room(self, transaction: Transaction, owner: str | None) -> Room:
        """The room for staged data beside what a project has staged."""
        quota = self.of(owner).staged
        used = 0 if quota == UNLIMITED else transaction.images.usage(owner).staged
        return Room(owner, quota, used, "staged")

    def room(self, transaction: Transaction, owner: str | None) -> Room:
        """The room for data beside what a project has."""
        quota = self.of(owner).size
        used = 0 if quota == UNLIMITED else transaction.images.usage(owner).size
        return Room(owner, quota, used)

    def _check_uploads(self, transaction: Transaction, owner: str | None) -> None:
        quota = self.of(owner).uploads
        if quota != UNLIMITED:
            used = transaction.images.usage(owner).uploading
            if used >= quota:
                raise _too_many("uploads at the same time", owner, quota, used)


def _too_many(what: str, owner: str | None, quota: int, used: int) -> QuotaExceeded:
    return QuotaExceeded(
        f"Project {owner} may have at most {quota} {what} and has {used}; wait or delete some, or "
        "ask for a higher quota",
        what=what,
        quota=quota,
        used=used,
    )
