"""Trusts of a Keystone: acting for a user when its token has ended (OS-TRUST of Identity v3).

The user who asks is the trustor, this service the trustee. A token out of a trust is of the user,
for the project and with the roles that the user had when the trust was made.
"""

import logging
import threading
from collections import OrderedDict
from typing import Any

from keystoneauth1.exceptions import ClientException
from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session

from kilo_common.context import RequestContext
from kilo_common.errors import Unavailable
from kilo_common.identity.errors import TrustRefused
from kilo_common.settings import KeystoneSettings

log = logging.getLogger(__name__)
TIMEOUT = 10
"""Seconds that Keystone has for an answer."""
REMEMBERED = 1000
"""Trusts whose last token is kept."""


class TrustsSilent(Unavailable):
    """Keystone does not answer."""

    code = "identity.trusts_silent"


class KeystoneTrusts:
    """Makes, uses and ends trusts. May be used by any number of threads."""

    def __init__(self, settings: KeystoneSettings) -> None:
        self._settings = settings
        self._session = Session(verify=settings.ca_file or True, timeout=TIMEOUT)
        self._me = self._sign_in(
            project_name=settings.project, project_domain_name=settings.project_domain
        )
        self._lock = threading.Lock()
        self._signed_in: OrderedDict[str, Password] = OrderedDict()

    def delegate(self, context: RequestContext, token: str) -> str:
        """Let the user of `context`, whose token this is, trust this service; the trust's id.

        Raises:
            TrustRefused: Keystone does not let the user do so.
            TrustsSilent: it does not answer.
        """
        try:
            trust = {
                "trustor_user_id": context.user_id,
                "trustee_user_id": self._me.get_user_id(self._session),
                "project_id": context.project_id,
                "impersonation": True,
                "roles": [{"name": role} for role in context.roles],
            }
            answer = self._ask("POST", "OS-TRUST/trusts", token, {"trust": trust})
        except ClientException as fault:
            raise TrustsSilent(f"Keystone makes no trust: {fault}") from fault
        if answer.status_code != 201:
            raise TrustRefused(
                f"Keystone refuses the trust that trust+http(s) needs ({answer.status_code}): "
                f"{answer.text[:300]}"
            )
        return str(answer.json()["trust"]["id"])

    def revoke(self, trust_id: str, token: str) -> None:
        """End a trust by a token of who made it; that it cannot be is only logged."""
        try:
            answer = self._ask("DELETE", f"OS-TRUST/trusts/{trust_id}", token, None)
        except ClientException as fault:
            log.warning("the trust %s remains: %s", trust_id, fault)
            return
        if answer.status_code not in (204, 404):
            log.warning("the trust %s remains: Keystone says %d", trust_id, answer.status_code)

    def token(self, trust_id: str) -> str:
        """A token out of the trust; a new one when the one before is about to end.

        Raises:
            TrustRefused: the trust has been ended, or its user lost its roles.
            TrustsSilent: Keystone does not answer.
        """
        with self._lock:
            user = self._signed_in.pop(trust_id, None) or self._sign_in(trust_id=trust_id)
            self._signed_in[trust_id] = user
            if len(self._signed_in) > REMEMBERED:
                self._signed_in.popitem(last=False)
        try:
            return str(user.get_token(self._session))
        except ClientException as fault:
            if getattr(fault, "http_status", 0) in (401, 403, 404):
                raise TrustRefused(f"The trust gives no token any more: {fault}") from fault
            raise TrustsSilent(f"Keystone gives no token: {fault}") from fault

    def _sign_in(self, **scope: str) -> Password:
        settings = self._settings
        return Password(
            auth_url=settings.auth_url,
            username=settings.username,
            password=settings.password,
            user_domain_name=settings.user_domain,
            **scope,
        )

    def _ask(self, method: str, path: str, token: str, body: Any) -> Any:
        return self._session.request(
            f"{self._settings.auth_url.rstrip('/')}/{path}",
            method,
            json=body,
            headers={"X-Auth-Token": token},
            authenticated=False,
            raise_exc=False,
        )
