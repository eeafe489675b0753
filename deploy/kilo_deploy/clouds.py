"""The `clouds.yaml` that lets openstack clients find the stack."""

import json
import re
from pathlib import Path
from typing import TypeAlias

from kilo_common.ids import random_id
from kilo_deploy.accounts import CLOUD
from kilo_deploy.state import Account, StackInfo

Cloud: TypeAlias = dict[str, str | dict[str, str]]
_PLAIN = re.compile(r"(https?://|[a-z])[\w.:/-]*\w")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null"})


def render(info: StackInfo) -> str:
    """The file's text: a cloud for each account, or the one cloud that needs none."""
    clouds = {account.cloud: _cloud(info, account) for account in info.accounts}
    clouds = clouds or {CLOUD: _cloud_for_anybody(info)}
    lines = ["# Written by kilostack at each start.", "clouds:"]
    for name, cloud in clouds.items():
        lines.append(f"  {_scalar(name)}:")
        for key, value in cloud.items():
            if isinstance(value, str):
                lines.append(f"    {key}: {_scalar(value)}")
            else:
                lines.append(f"    {key}:")
                lines += [f"      {inner}: {_scalar(text)}" for inner, text in value.items()]
    return "\n".join(lines) + "\n"


def _cloud(info: StackInfo, account: Account) -> Cloud:
    if info.strategy == "dev":
        return {
            "auth_type": "password",
            "auth": {
                "auth_url": f"{info.identity_url}/v3",
                "username": account.username,
                "password": account.password,
                "project_name": account.project,
                "user_domain_id": "default",
                "project_domain_id": "default",
            },
            "identity_api_version": "3",
        }
    cloud = {"auth_type": info.strategy, **_endpoints(info)}
    # The password is the client's own to give: OS_PASSWORD.
    cloud["auth"] = {"endpoint": info.catalog_url, "username": account.username}
    return cloud


def _cloud_for_anybody(info: StackInfo) -> Cloud:
    if info.strategy == "keystone":
        # Who signs in is the client's to say: OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME.
        auth: Cloud = {"auth": {"auth_url": info.identity_url}}
        return {"auth_type": "password", **_endpoints(info), **auth}
    return {"auth_type": "none", **_endpoints(info)}


def _endpoints(info: StackInfo) -> Cloud:
    return {
        "auth": {"endpoint": info.catalog_url},
        "image_endpoint_override": info.catalog_url,
        "messaging_endpoint_override": info.messaging_url,
    }


def _scalar(text: str) -> str:
    """Text as YAML: quoted (as JSON) unless it is beyond doubt."""
    return text if _PLAIN.fullmatch(text) and text not in _WORDS else json.dumps(text)


def environment(path: Path) -> str:
    """The variables that point clients at the file, as a shell takes them.

    `openstack messaging` insists on a Client-ID, by which a client knows its own messages.
    """
    client_id = random_id()
    return f"OS_CLIENT_CONFIG_FILE={path} OS_CLOUD={CLOUD} OS_MESSAGE_CLIENT_ID={client_id}"


def write(folder: Path, info: StackInfo) -> Path:
    """Write `clouds.yaml` into the state folder, and say where."""
    path = folder / "clouds.yaml"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)  # it may hold passwords
    path.write_text(render(info))
    return path
