"""Who can sign in to a stack, and signing in as the demo and `topics watch` do."""

import base64
from collections.abc import Mapping
from dataclasses import replace

from kilo_common.errors import Unauthenticated
from kilo_common.settings import AuthSettings, DevIdentitySettings
from kilo_deploy.client import ApiClient
from kilo_deploy.state import Account, StackInfo

CLOUD = "kilostack"


class SignInImpossible(Unauthenticated):
    """There is no account to sign in with, or no password for it."""

    code = "deploy.sign_in_impossible"


def accounts_of(settings: AuthSettings) -> tuple[Account, ...]:
    """Everybody we know to be able to sign in; the first is `kilostack`, the one to take."""
    if settings.strategy in ("none", "keystone"):
        return ()
    if settings.strategy == "http_basic":
        users = settings.http_basic.users.items()
        found = [Account(f"{CLOUD}-{name}", name, "", user.project) for name, user in users]
        favourite = found[0]
    else:
        found = _dev_accounts(settings.dev)
        favourite = _favourite(settings, found)
    one_each = {account.username: account for account in reversed(found)}
    return (replace(favourite, cloud=CLOUD), *reversed(one_each.values()))


def _dev_accounts(settings: DevIdentitySettings) -> list[Account]:
    """An account for each user and each project; services have none of their own.

    Raises:
        SignInImpossible: there is nobody.
    """
    found = [
        Account(f"{CLOUD}-{name}", name, user.password, project)
        for name, user in settings.users.items()
        for project, roles in user.roles.items()
        if set(roles) - {"service"}
    ]
    if not found:
        raise SignInImpossible("auth.dev.users: nobody has a role on any project")
    return found


def _favourite(settings: AuthSettings, accounts: list[Account]) -> Account:
    """An administrator of the default project, or else somebody of it, or else anybody."""

    def distance(account: Account) -> tuple[bool, bool]:
        roles = settings.dev.users[account.username].roles[account.project]
        return (account.project != settings.default_project, "admin" not in roles)

    return min(accounts, key=distance)


def sign_in(info: StackInfo, project: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The headers by which the stack knows us in `project`.

    Raises:
        SignInImpossible: nobody is known in that project, or the password is not.
        RequestRefused, StackUnreachable: the identity service refuses, or does not answer.
    """
    if info.strategy == "none":
        return {"X-Project-Id": project}
    if info.strategy == "keystone":
        return _given_token(environ)
    account = next((each for each in info.accounts if each.project == project), None)
    if account is None:
        raise SignInImpossible(f"Nobody of this stack's configuration is in project {project!r}")
    if info.strategy == "http_basic":
        return _basic(environ)
    return {"X-Auth-Token": _token(info, account)}


def _basic(environ: Mapping[str, str]) -> dict[str, str]:
    name, password = environ.get("OS_USERNAME"), environ.get("OS_PASSWORD")
    if not name or not password:
        raise SignInImpossible("The stack wants a password: set OS_USERNAME and OS_PASSWORD")
    encoded = base64.b64encode(f"{name}:{password}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


def _given_token(environ: Mapping[str, str]) -> dict[str, str]:
    token = environ.get("OS_TOKEN")
    if not token:
        raise SignInImpossible(
            "The stack wants a token of its Keystone: set OS_TOKEN "
            "(openstack token issue -f value -c id)"
        )
    return {"X-Auth-Token": token}


def _token(info: StackInfo, account: Account) -> str:
    domain = {"id": "default"}
    user = {"name": account.username, "password": account.password, "domain": domain}
    body = {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": account.project, "domain": domain}},
        }
    }
    identity = ApiClient(info.identity_url, {})
    return identity.post_for_header("/v3/auth/tokens", body, "X-Subject-Token")
