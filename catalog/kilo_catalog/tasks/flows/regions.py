"""Other catalogs, as `glance-download` reads from them: sign in, find the image, read its data.

Their addresses come from the operator and not from users, so they may be anywhere; redirects, which
would come from somebody else, are not followed. Identity API v3 and Image API v2, as documented by
OpenStack.
"""

import json
from collections.abc import Mapping
from concurrent.futures import Executor
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct, structs

from kilo_catalog.config import RegionSettings
from kilo_catalog.domain.attributes import (
    READ_ONLY,
    RESERVED,
    RESERVED_PREFIX,
    SETTABLE,
    check_value,
)
from kilo_catalog.domain.findings import PREFIX
from kilo_catalog.domain.image import DataFacts
from kilo_catalog.domain.limits import Limits
from kilo_catalog.errors import ImportConflict
from kilo_common.context import RequestContext
from kilo_common.errors import ConfigInvalid
from kilo_common.fetch.errors import FetchFailed
from kilo_common.fetch.fetcher import FetchAnswer, Fetcher, FetchStream
from kilo_common.fetch.policy import FetchPolicy

_MOST = 4 << 20
"""The most bytes of a record or of a service catalog."""
_ANYWHERE = ("0.0.0.0/0", "::/0")


class Session(Struct, frozen=True):
    """Signed in at another catalog."""

    url: str
    """Its Image API, without the version and without a slash at the end."""
    headers: Mapping[str, str]


class RemoteImage(Struct, frozen=True):
    """What another catalog says of an image that has data."""

    id: str
    formats: tuple[str, str]
    checksum: str
    hash_algorithm: str
    hash_value: str
    properties: Mapping[str, str]
    """Those that come with it."""

    def is_like(self, facts: DataFacts) -> bool:
        """Whether data that came in is the data that was promised, as far as can be known."""
        if self.hash_value and self.hash_algorithm == facts.os_hash_algo:
            return self.hash_value == facts.os_hash_value
        return not self.checksum or self.checksum == facts.checksum


class Region:
    """One other catalog. May be used by any number of threads."""

    def __init__(
        self, name: str, settings: RegionSettings, policy: FetchPolicy, executor: Executor
    ) -> None:
        """`policy` gives the limits on time and size.

        Raises:
            ConfigInvalid: nothing says where it is.
        """
        if not settings.url and not settings.auth_url:
            key = f"catalog.imports.regions.{name}"
            raise ConfigInvalid(f"{key} needs a url, an auth_url, or both", key=key)
        self._name = name
        self._settings = settings
        trusting = structs.replace(
            policy,
            schemes=("http", "https"),
            ports=(),
            allowed_hosts=(),
            denied_hosts=(),
            allowed_networks=_ANYWHERE,
            denied_networks=(),
            max_redirects=0,
        )
        self._fetcher = Fetcher(trusting, executor)

    def sign_in(self, context: RequestContext, interface: str) -> Session:
        """A session for one import.

        Raises:
            FetchFailed: nobody answers, or we are not known there.
        """
        settings = self._settings
        if not settings.auth_url:
            project = settings.project or context.project_id or ""
            return Session(_base(settings.url), {"X-Project-Id": project})
        answer = self._fetcher.request(
            "POST",
            f"{settings.auth_url.rstrip('/')}/auth/tokens",
            headers={"Content-Type": "application/json"},
            body=json.dumps(_credentials(settings)).encode(),
            max_answer=_MOST,
        )
        token = answer.headers.get("x-subject-token")
        if answer.status != 201 or not token:
            raise FetchFailed(
                f"The catalog {self._name} does not let us in: its identity service answers "
                f"{answer.status}; the operator sets its credentials under "
                f"catalog.imports.regions.{self._name}",
                status=answer.status,
            )
        url = settings.url or self._endpoint(self._json(answer), interface)
        return Session(_base(url), {"X-Auth-Token": token})

    def find(self, session: Session, image_id: str) -> RemoteImage:
        """The image of that id, which has data.

        Raises:
            FetchFailed: there is none that we may see, or no sensible answer.
            ImportConflict: it has no data to read.
        """
        answer = self._fetcher.request(
            "GET", f"{session.url}/v2/images/{image_id}", headers=session.headers, max_answer=_MOST
        )
        if answer.status != 200:
            raise FetchFailed(
                f"The catalog {self._name} answers {answer.status} when it is asked for the image "
                f"{image_id}"
                + (": it is not there, or not shown to us" if answer.status == 404 else ""),
                status=answer.status,
            )
        record = self._json(answer)
        if record.get("status") != "active":
            raise ImportConflict(
                f"The image {image_id} of {self._name} is {str(record.get('status'))[:32]}; only "
                "one that is active can be read"
            )
        return self._remote(image_id, record)

    def open(self, session: Session, image: RemoteImage) -> FetchStream:
        """The image's data; the caller closes it. Raises FetchFailed, FetchTooLarge."""
        url = f"{session.url}/v2/images/{image.id}/file"
        return self._fetcher.open(url, headers=session.headers)

    def _remote(self, image_id: str, record: Mapping[str, Any]) -> RemoteImage:
        limits = Limits()
        disk, container = (
            check_value(name, record.get(name), limits)
            for name in ("disk_format", "container_format")
        )
        if disk is None or container is None:
            raise ImportConflict(f"The image {image_id} of {self._name} has no formats")
        properties = {
            name: check_value(name, value, limits)
            for name, value in record.items()
            if isinstance(value, str) and self._comes_along(name)
        }
        return RemoteImage(
            image_id,
            (disk, container),
            str(record.get("checksum") or ""),
            str(record.get("os_hash_algo") or ""),
            str(record.get("os_hash_value") or ""),
            properties,
        )

    def _comes_along(self, name: str) -> bool:
        ours = name in READ_ONLY or name in RESERVED or name in SETTABLE
        if ours or name.startswith((RESERVED_PREFIX, PREFIX)):
            return False
        return any(fnmatchcase(name, pattern) for pattern in self._settings.properties)

    def _endpoint(self, body: Mapping[str, Any], interface: str) -> str:
        wanted = self._settings.region
        services = body.get("token", {}).get("catalog", [])
        for service in services:
            for each in service.get("endpoints", ()) if service.get("type") == "image" else ():
                if each.get("interface") != interface:
                    continue
                if not wanted or wanted in (each.get("region"), each.get("region_id")):
                    return str(each.get("url", ""))
        raise FetchFailed(
            f"The service catalog of {self._name} has no {interface} endpoint of an image service"
            + (f" in the region {wanted!r}" if wanted else "")
        )

    def _json(self, answer: FetchAnswer) -> dict[str, Any]:
        try:
            value = json.loads(answer.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise FetchFailed(f"The catalog {self._name} answers with something that is no record")
        return value


def _base(url: str) -> str:
    return url.rstrip("/").removesuffix("/v2")


def _credentials(settings: RegionSettings) -> dict[str, Any]:
    domain = {"name": settings.domain}
    user = {"name": settings.user, "domain": domain, "password": settings.password}
    identity = {"methods": ["password"], "password": {"user": user}}
    scope = {"project": {"name": settings.project, "domain": domain}}
    return {"auth": {"identity": identity, "scope": scope}}
