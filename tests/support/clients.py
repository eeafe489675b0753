"""Unmodified clients, run from their own environment against one stack."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_EACH = """
import contextlib, io, json, sys
from openstackclient import shell
printed = []
for command in json.loads(sys.argv[1]):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = shell.OpenStackShell().run(command)
    if code:
        sys.exit(f"openstack {' '.join(command)} ended with {code}")
    printed.append(text.getvalue())
print(json.dumps(printed))
"""


@dataclass(frozen=True)
class Clients:
    """Programs from the clients' own environment, pointed at one stack."""

    folder: Path
    clouds: Path

    def run(
        self, program: str, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        environ = {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.clouds.parent),
            "OS_CLIENT_CONFIG_FILE": str(self.clouds),
            "OS_CLOUD": "kilostack",
            "OS_MESSAGE_CLIENT_ID": "3381af92-2b9e-11e3-b191-71861300734c",
        }
        done = subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0 or not check, (
            f"{program} {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        )
        return done

    def openstack(self, *arguments: str) -> str:
        return self.run("openstack", *arguments).stdout

    def openstack_each(self, *commands: Sequence[str]) -> list[str]:
        """What each of several commands prints: in one process, which starts but once."""
        return list(json.loads(self.python(_EACH, json.dumps(commands))))

    def python(self, script: str, *arguments: str) -> str:
        return self.run("python", "-c", script, *arguments).stdout
