"""The `clouds.yaml` that lets openstack clients find the stack."""

from pathlib import Path

from kilo_common.ids import random_id
from kilo_deploy.state import StackInfo

CLOUD = "kilostack"


def render(info: StackInfo) -> str:
    """The file's text: one cloud, no identity service, an endpoint for each of our services."""
    return f"""\
# Written by kilostack at each start.
clouds:
  {CLOUD}:
    auth_type: none
    auth:
      endpoint: {info.catalog_url}
    image_endpoint_override: {info.catalog_url}
    messaging_endpoint_override: {info.messaging_url}
"""


def environment(path: Path) -> str:
    """The variables that point clients at the file, as a shell takes them.

    `openstack messaging` insists on a Client-ID, by which a client knows its own messages.
    """
    client_id = random_id()
    return f"OS_CLIENT_CONFIG_FILE={path} OS_CLOUD={CLOUD} OS_MESSAGE_CLIENT_ID={client_id}"


def write(folder: Path, info: StackInfo) -> Path:
    """Write `clouds.yaml` into the state folder, and say where."""
    path = folder / "clouds.yaml"
    path.write_text(render(info))
    path.chmod(0o600)
    return path
