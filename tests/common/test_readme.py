"""The examples of common/README.md run as they are printed."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "common" / "README.md"


def test_the_bus_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(compile(example, "README.md", "exec"), {"__name__": "example"})
    assert capsys.readouterr().out == "5\n"
