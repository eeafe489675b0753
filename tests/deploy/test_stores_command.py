"""`kilostack stores` on the files and records that a stack has left behind."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kilo_deploy.cli import main
from kilo_deploy.client import ApiClient
from kilo_deploy.testing import StackProcess

RECORD = {"disk_format": "raw", "container_format": "bare"}
CONFIG = """
[catalog]
default_store = "main"
[catalog.stores.main]
path = "{state_dir}/images"
weight = 7
[catalog.stores.second]
path = "{state_dir}/second"
deduplicate = true
[catalog.stores.gone]
driver = "memory"
"""


class Kept:
    """A state folder with three images in it."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "kilostack.toml"
        self.state = folder / "state"

    def run(self, *arguments: str) -> Result:
        """A command that changes no record."""
        return CliRunner().invoke(main, self._command(*arguments))

    def change(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Any command, in a process of its own."""
        command = [sys.executable, "-m", "kilo_deploy.entry", *self._command(*arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def _command(self, *arguments: str) -> list[str]:
        return ["stores", *arguments, "--config", str(self.config), "--state-dir", str(self.state)]

    def blobs(self, store: str = "images") -> list[Path]:
        return sorted((self.state / store / "blobs").iterdir())

    def image_of(self, blob: Path) -> str:
        """The image that has this blob."""
        number = blob.read_bytes()[:1].decode()
        return (self.state.parent / f"id-{number}").read_text()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    made = Kept(folder)
    made.config.write_text(CONFIG)
    stack = StackProcess(made.state, ["--config", str(made.config), "--auth", "none"])
    try:
        catalog = ApiClient(stack.wait_ready().catalog_url, {})
        for number in range(3):
            image = catalog.json("POST", "/v2/images", RECORD)
            data = str(number).encode() * 5000
            catalog.upload(f"/v2/images/{image['id']}/file", iter([data]), len(data))
            (folder / f"id-{number}").write_text(image["id"])
    finally:
        stack.interrupt()
    return folder


@pytest.fixture
def kept(template: Path, tmp_path: Path) -> Kept:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True, symlinks=True)
    return Kept(tmp_path)


def test_the_stores_are_listed(kept: Kept) -> None:
    lines = kept.run("list").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["*", "main"], ["second", "filesystem"], ["gone", "memory"],
    ]  # fmt: skip
    assert "weight 7" in lines[0]


def test_usage_is_told(kept: Kept) -> None:
    done = kept.run("usage")
    assert done.exit_code == 0
    assert "main: 3 blobs, 14.6 KiB" in done.stdout
    assert "second: 0 blobs, 0 B" in done.stdout
    assert "in the memory of the process" in done.stderr


def test_a_scrub_of_sound_stores_finds_nothing(kept: Kept) -> None:
    done = kept.run("scrub")
    assert (done.exit_code, done.stdout) == (0, "3 copies read, 0 damaged or missing\n")


def test_a_scrub_finds_each_kind_of_damage(kept: Kept) -> None:
    changed, shorter, lost = kept.blobs()
    ids = {each: kept.image_of(each) for each in (changed, shorter, lost)}
    changed.write_bytes(b"x" * 5000)
    shorter.write_bytes(shorter.read_bytes()[:-1])
    lost.unlink()
    (kept.state / "images" / "blobs" / "stray").write_bytes(b"whose?")
    done = kept.run("scrub", "main")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert lines[-1] == "3 copies read, 3 damaged or missing, 1 that no image has"
    for blob, word in ((changed, "damaged"), (shorter, "damaged"), (lost, "missing")):
        assert any(line.startswith(word) and ids[blob] in line for line in lines), lines
    assert any(line.startswith("unknown") and "stray" in line for line in lines)


def test_one_image_is_verified(kept: Kept) -> None:
    blob = kept.blobs()[0]
    sound, damaged = kept.image_of(kept.blobs()[1]), kept.image_of(blob)
    blob.write_bytes(b"x")
    assert kept.run("verify", sound).exit_code == 0
    assert kept.run("verify", sound, damaged).exit_code == 1


def test_images_are_copied_and_found_in_both(kept: Kept) -> None:
    done = kept.change("copy", "main", "second", "--all")
    assert (done.returncode, done.stdout) == (0, "3 copied, 0 there already, 0 failed\n")
    assert len(kept.blobs("second")) == 3
    assert "6 copies read, 0 damaged" in kept.run("scrub").stdout
    assert kept.change("copy", "main", "second", "--all").stdout.startswith("0 copied, 3 there")


def test_an_image_is_moved(kept: Kept) -> None:
    image_id = kept.image_of(kept.blobs()[0])
    done = kept.change("move", "main", "second", image_id)
    assert (done.returncode, done.stdout) == (0, "1 moved, 0 there already, 0 failed\n")
    assert (len(kept.blobs()), len(kept.blobs("second"))) == (2, 1)
    assert "3 copies read, 0 damaged or missing\n" in kept.run("scrub").stdout


def test_damaged_data_is_not_moved(kept: Kept) -> None:
    blob = kept.blobs()[0]
    image_id = kept.image_of(blob)
    blob.write_bytes(b"x" * 5000)
    # Where the bytes pass through nobody's hands, nobody sees them: read them first.
    done = kept.change("move", "main", "second", image_id)
    assert done.returncode == 1
    assert "recorded are" in done.stderr
    assert blob.exists()
    assert kept.blobs("second") == []
    assert "missing" not in kept.run("scrub").stdout.replace("or missing", "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("usage", "nowhere"), 2),
        (("scrub", "nowhere"), 2),
        (("scrub", "gone"), 2),
        (("verify", "00000000-0000-4000-8000-000000000000"), 2),
        (("copy", "main", "second"), 2),
        (("copy", "main", "nowhere", "--all"), 2),
        (("copy", "nowhere", "second", "--all"), 2),
        (("move", "second", "main", "IMAGE"), 2),
    ],
)
def test_what_cannot_be_done_is_refused(
    kept: Kept, arguments: tuple[str, ...], expected: int
) -> None:
    image_id = kept.image_of(kept.blobs()[0])
    done = kept.run(*(image_id if each == "IMAGE" else each for each in arguments))
    assert done.exit_code == expected
    assert done.stderr
