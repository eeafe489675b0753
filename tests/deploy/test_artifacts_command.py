"""`kilostack artifact` against a running stack: there, and back again."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kilo_deploy.cli import main
from kilo_deploy.testing import StackProcess

Run = Callable[..., Result]


@pytest.fixture
def run(stack: StackProcess) -> Run:
    def run(*arguments: str) -> Result:
        folder = ["--state-dir", str(stack.state_dir)]
        return CliRunner().invoke(main, ["artifact", *arguments, *folder])

    return run


def identifier(done: Result) -> str:
    assert done.exit_code == 0, done.output
    return done.stdout.strip().splitlines()[-1]


def test_files_go_there_and_come_back(run: Run, tmp_path: Path) -> None:
    files = [tmp_path / "train.csv", tmp_path / "test.csv"]
    for file in files:
        file.write_bytes(os.urandom(300_000))
    pushed = run(
        "push", "digits", *map(str, files), "--type", "datasets", "--version", "1.0",
        "--set", "rows=70000", "--set", "license=MIT",
    )  # fmt: skip
    dataset = identifier(pushed)
    model = identifier(
        run(
            "push", "reader", str(files[0]), "--type", "models", "--version", "2.1.0",
            "--set", f'trained_on=["{dataset}"]',
        )
    )  # fmt: skip
    shown = json.loads(run("show", "digits").stdout)
    assert (shown["id"], shown["status"], shown["rows"]) == (dataset, "active", 70000)
    listed = [
        json.loads(line)
        for line in run(
            "list", "--json", "--where", "license=MIT", "--type", "datasets"
        ).stdout.splitlines()
    ]
    assert [each["id"] for each in listed] == [dataset]
    assert "digits 1.0.0 (datasets, active)" in run("deps", model).stdout
    assert run("pull", "digits@1.0.0", "--to", str(tmp_path / "back")).exit_code == 0
    for file in files:
        assert (tmp_path / "back" / file.name).read_bytes() == file.read_bytes()
    gone = run("show", "digits@9.9.9")
    assert (gone.exit_code, "no artifact" in gone.output) == (2, True)


def test_what_cannot_be_pushed_leaves_nothing(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>")
    refused = run("push", "app", str(page), "--type", "murano_packages")
    assert refused.exit_code == 2
    assert "content type" in refused.output
    assert "Nothing" in run("list").stdout
    assert run("push", "a", "--set", "no equals sign").exit_code == 2
    assert run("push", "a", str(page), "--blob", "nope").exit_code == 2
