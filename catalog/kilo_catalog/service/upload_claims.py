"""The claims of uploads on their images: made, renewed while the process lives, given back.

A claim is a lease in the image's record. A process that dies stops renewing; the reaper of any
process then gives the image back and dooms what the upload had written.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from msgspec import structs

from kilo_catalog.db.base import Doomed, Transaction, UnitOfWork
from kilo_catalog.domain.image import Image, UploadClaim, claim, give_back
from kilo_catalog.errors import ImageNotFound, UploadLost
from kilo_common.clock import Clock

BATCH = 100


@dataclass(frozen=True)
class Upload:
    """One upload at work in this process."""

    image: Image
    claim: UploadClaim


class UploadClaims:
    """All claims of this process, and the means to end those of dead ones."""

    def __init__(self, unit_of_work: UnitOfWork, clock: Clock, lease: float) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._lease = timedelta(seconds=lease)
        self._lock = threading.Lock()
        self._held: dict[str, Upload] = {}
        self._lost: dict[str, Exception] = {}

    def new_claim(self, upload_id: str, store: str) -> UploadClaim:
        """A claim that begins now."""
        return UploadClaim(upload_id, store, self._clock.now() + self._lease)

    def take(self, transaction: Transaction, image: Image, made: UploadClaim) -> Upload:
        """Claim the image in a transaction.

        Raises:
            StatusConflict: it has data, or is getting some.
        """
        return Upload(transaction.images.update(claim(image, made)), made)

    def hold(self, upload: Upload) -> None:
        """Renew this claim from now on."""
        with self._lock:
            self._held[upload.claim.id] = upload

    def let_go(self, upload: Upload) -> None:
        """Renew this claim no more."""
        with self._lock:
            self._held.pop(upload.claim.id, None)
            self._lost.pop(upload.claim.id, None)

    def check(self, upload: Upload) -> None:
        """Return while the claim is known to hold.

        Raises:
            ImageNotFound: the image was deleted.
            UploadLost: the claim ended.
        """
        fault = self._lost.get(upload.claim.id)
        if fault is not None:
            raise fault

    def renew_all(self) -> None:
        """Renew every claim of this process."""
        for upload in list(self._held.values()):
            try:
                self._unit_of_work.write(partial(self._renew, upload))
            except (ImageNotFound, UploadLost) as fault:
                with self._lock:
                    if upload.claim.id in self._held:
                        self._lost[upload.claim.id] = fault

    def claimed(self, transaction: Transaction, upload: Upload) -> Image:
        """The image as it is now, if the claim on it still holds.

        Raises:
            ImageNotFound: it was deleted.
            UploadLost: the claim ended.
        """
        image = transaction.images.get(upload.image.id)
        if image.upload is None or _holder(image.upload) != _holder(upload.claim):
            raise UploadLost(
                "The upload was given up because its server did not answer for too long; "
                "send the data again",
                image_id=image.id,
            )
        return image

    def abandon(self, upload: Upload) -> Sequence[Doomed]:
        """Give the image back, if the claim still holds; what may be removed now is returned.

        The blob is removed only when no record has it: a commit whose confirmation was lost may
        have made it the image's data.

        Raises:
            DatabaseUnavailable: the reaper will do it when the lease has ended.
        """

        def work(transaction: Transaction) -> Sequence[Doomed]:
            doomed = Doomed(upload.claim.store, upload.claim.id, self._clock.now())
            try:
                image = transaction.images.get(upload.image.id)
            except ImageNotFound:
                return (doomed,)  # whoever deleted it has remembered the blob
            if _has_blob(image, upload.claim.id):
                return ()
            if image.upload is not None and image.upload.id == upload.claim.id:
                transaction.images.update(give_back(image))
                transaction.doomed.add(doomed)
            return (doomed,)

        return self._unit_of_work.write(work)

    def end_expired(self) -> int:
        """Give back the images whose upload's lease, or whose staged data's time, has ended; how
        many there were."""
        now = self._clock.now()

        def work(transaction: Transaction) -> int:
            expired = transaction.images.list_expired(now, BATCH)
            for image in expired:
                transaction.images.update(give_back(image))
                if image.upload is not None:
                    transaction.doomed.add(Doomed(image.upload.store, image.upload.id, now))
                if image.staged is not None:
                    transaction.doomed.add(Doomed(image.staged.store, image.staged.key, now))
            return len(expired)

        if not self._unit_of_work.read(lambda tx: tx.images.list_expired(now, 1)):
            return 0  # the usual case takes no write lock
        return self._unit_of_work.write(work)

    def _renew(self, upload: Upload, transaction: Transaction) -> None:
        image = self.claimed(transaction, upload)
        until = self._clock.now() + self._lease
        claim = image.upload or upload.claim
        if claim.resumable is None:
            renewed = structs.replace(claim, lease_until=until)
        else:
            held = structs.replace(claim.resumable, held_until=until)
            renewed = structs.replace(claim, resumable=held)
        transaction.images.update(structs.replace(image, upload=renewed))


def _holder(claim: UploadClaim) -> tuple[str, str]:
    """The upload, and the request that is at work on it if it has several."""
    return claim.id, claim.resumable.holder if claim.resumable else ""


def _has_blob(image: Image, key: str) -> bool:
    staged = image.staged is not None and image.staged.key == key
    return staged or any(each.key == key for each in image.locations)
