"""The stores are a library of their own: what importing and using them brings in."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = ("flask", "sqlalchemy", "boto3", "swiftclient", "gevent", "kombu", "alembic")


@pytest.mark.parametrize(
    "program",
    [
        "import kilo_catalog.stores.registry",
        "from kilo_catalog.stores.registry import open_store\n"
        "store = open_store('filesystem', '{folder}')\n"
        "writer = store.create('a'); writer.write(b'abc'); writer.commit()\n"
        "assert store.open('a').read(3) == b'abc'",
        "import kilo_catalog.stores.http, kilo_catalog.stores.transfer",
    ],
)
def test_nothing_heavy_comes_with_it(program: str, tmp_path: Path) -> None:
    script = (
        program.replace("{folder}", str(tmp_path))
        + f"\nimport sys\nfound = [name for name in {HEAVY} if name in sys.modules]\n"
        "assert not found, found\n"
    )
    paths = [str(ROOT / "common"), str(ROOT / "catalog")]
    program = f"import sys\nsys.path[:0] = {paths}\n" + script
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
