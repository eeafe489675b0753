"""The examples of common/README.md are one program that runs as it is printed."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "common" / "README.md"


def test_the_examples_print_what_is_printed_beside_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    program = {"__name__": "example"}
    for example in examples:
        exec(compile(example, "README.md", "exec"), program)
        expected = re.findall(r"print\(.*\)  # (.*)$", example, re.MULTILINE)
        assert capsys.readouterr().out.splitlines() == expected
