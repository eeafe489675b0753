"""Unmodified clients, run from their own environment against one stack."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


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

    def python(self, script: str, *arguments: str) -> str:
        return self.run("python", "-c", script, *arguments).stdout
