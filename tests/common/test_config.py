"""Configuration: where values come from, and what is said when one does not fit."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from msgspec import Meta, field

from kilo_common.config import Section, load
from kilo_common.config_sample import sample
from kilo_common.errors import ConfigInvalid


class Inner(Section, frozen=True):
    """An inner section."""

    port: Annotated[int, Meta(description="A port.", ge=0, le=65535)] = 80
    mode: Annotated[Literal["fast", "safe"], Meta(description="How to go.")] = "safe"
    names: Annotated[tuple[str, ...], Meta(description="Some names.")] = ()


class Outer(Section, frozen=True):
    """A whole configuration."""

    title: Annotated[str, Meta(description="What it is called.")] = "untitled"
    inner: Inner = Inner()
    stores: Annotated[dict[str, Inner], Meta(description="By name.")] = field(default_factory=dict)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kilo.toml"


def test_defaults_serve_when_nothing_is_given() -> None:
    assert load(Outer) == Outer()


def test_environment_overrides_the_file_and_options_override_both(file: Path) -> None:
    file.write_text('title = "file"\n[inner]\nport = 1\nmode = "fast"\n')
    environ = {"KILO_INNER__PORT": "2", "KILO_TITLE": "2026", "OTHER": "x"}
    settings = load(Outer, file=file, environ=environ, overrides={"inner.mode": "safe"})
    assert settings == Outer(title="2026", inner=Inner(port=2, mode="safe"))


def test_a_section_written_in_part_keeps_the_rest_of_its_own_default(file: Path) -> None:
    class Whole(Section, frozen=True):
        inner: Inner = Inner(port=8888, mode="fast")

    file.write_text('[inner]\nnames = ["x"]\n')
    assert load(Whole, file=file).inner == Inner(port=8888, mode="fast", names=("x",))
    assert "# port = 8888" in sample(Whole)


def test_lists_and_maps_are_read_from_the_environment() -> None:
    environ = {"KILO_INNER__NAMES": '["a", "b"]', "KILO_STORES__MAIN__PORT": "7"}
    settings = load(Outer, environ=environ)
    assert settings.inner.names == ("a", "b")
    assert settings.stores == {"main": Inner(port=7)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[inner]\nprot = 1", ["kilo.toml", "inner.prot", "allowed here: port, mode, names"]),
        ('[inner]\nport = "1"', ["kilo.toml", "inner.port", "Expected `int`, got `str`"]),
        ("[inner]\nport = 70000", ["inner.port", "<= 65535"]),
        ('[inner]\nmode = "slow"', ["inner.mode", "allowed: 'fast', 'safe'"]),
        ("[inner", ["kilo.toml", "not valid TOML"]),
        ("inner = 3", ["inner", "Expected `object`"]),
    ],
)
def test_a_mistake_is_named_with_file_key_and_what_is_allowed(
    file: Path, text: str, expected: list[str]
) -> None:
    file.write_text(text)
    with pytest.raises(ConfigInvalid) as caught:
        load(Outer, file=file)
    for part in expected:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("KILO_INNER__PORT", "http"), ("KILO_INNER__PROT", "1"), ("KILO_INNER", "5")],
)
def test_a_mistake_in_the_environment_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigInvalid, match=name):
        load(Outer, environ={name: value})


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load(Outer, file=tmp_path / "none.toml")


def test_the_sample_documents_every_key_and_changes_nothing(file: Path) -> None:
    text = sample(Outer)
    for part in (
        "A port.",
        "One of: fast, safe.",
        "# port = 80",
        "[inner]",
        '# title = "untitled"',
    ):
        assert part in text
    file.write_text(text)
    assert load(Outer, file=file) == Outer()
    # Uncommented, every line is still a valid file with the same meaning, and a table with a name
    # has its keys documented too.
    assert "# [stores.NAME]\n\n# A port.\n# port = 80" in text
    lines = [
        line.removeprefix("# ") if " = " in line or line.startswith("# [") else line
        for line in text.splitlines()
    ]
    file.write_text("\n".join(lines))
    assert load(Outer, file=file) == Outer(stores={"NAME": Inner()})
