"""The `clouds.yaml` that lets openstack clients find the stack."""

from pathlib import Path

from kilo_deploy.state import StackInfo

CLOUD = "kilostack"


def render(info: StackInfo) -> str:
    """The file's text: one cloud, no identity service, an endpoint for each of our services."""
    return f"""\
# Written by kilostack at each start. Use it with:
#   export OS_CLIENT_CONFIG_FILE=<this file> OS_CLOUD={CLOUD}
clouds:
  {CLOUD}:
    auth_type: none
    auth:
      endpoint: {info.catalog_url}
    image_endpoint_override: {info.catalog_url}
    messaging_endpoint_override: {info.messaging_url}
"""


def write(folder: Path, info: StackInfo) -> Path:
    """Write `clouds.yaml` into the state folder, and say where."""
    path = folder / "clouds.yaml"
    path.write_text(render(info))
    path.chmod(0o600)
    return path
