"""Who may do what: rules in oslo.policy's syntax, defaults in code, overridable by a YAML file.

A rule is text: `role:admin`, `project_id:%(owner)s`, `rule:other`, `@` (always), `!` (never), and
these joined with `and`, `or`, `not` and parentheses. It is compiled once, when the policy is
made, and asked with the caller's context and a target (the thing's own fields).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kilo_common.context import RequestContext
from kilo_common.errors import ConfigInvalid, Forbidden

Target = Mapping[str, Any]
Check = Callable[[RequestContext, Target], bool]
_TOKEN = re.compile(r"\s*(?:([()])|((?:[^\s()%]|%\([^)]*\)s)+))")
_REFERENCE = re.compile(r"%\(([^)]+)\)s")


class PolicyForbids(Forbidden):
    """The caller's roles or project do not allow this."""

    code = "common.policy.forbidden"


class Policy:
    """The rules of one service."""

    def __init__(
        self, defaults: Mapping[str, str], overrides: Mapping[str, str] | None = None
    ) -> None:
        """Compile all rules.

        Raises:
            ConfigInvalid: an override names no known rule, or a rule cannot be read.
        """
        rules = dict(defaults)
        for name, text in (overrides or {}).items():
            if name not in rules:
                raise ConfigInvalid(
                    f"policy: there is no rule {name!r}; rules are: {', '.join(sorted(rules))}",
                    key=name,
                )
            rules[name] = text
        self._checks = {name: _compile(name, text, rules, ()) for name, text in rules.items()}

    def allows(self, context: RequestContext, rule: str, target: Target) -> bool:
        """Whether `context` may do what `rule` guards to `target`."""
        return self._checks[rule](context, target)

    def enforce(self, context: RequestContext, rule: str, target: Target) -> None:
        """Return if it is allowed.

        Raises:
            PolicyForbids: it is not.
        """
        if not self.allows(context, rule, target):
            raise PolicyForbids(
                f"You are not authorized to complete {rule} action.", rule=rule, roles=context.roles
            )


def load_overrides(file: Path) -> dict[str, str]:
    """The rules in a YAML file.

    Raises:
        ConfigInvalid: it cannot be read, or is not a mapping of names to rules.
    """
    import yaml  # noqa: PLC0415 - only those who override the policy pay for it

    try:
        loaded = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as fault:
        raise ConfigInvalid(f"{file}: cannot be read as YAML: {fault}", file=str(file)) from None
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(rule, str) for name, rule in loaded.items()
    ):
        raise ConfigInvalid(f"{file}: must map rule names to rules (text)", file=str(file))
    return loaded


def _compile(name: str, text: str, rules: Mapping[str, str], above: tuple[str, ...]) -> Check:
    if name in above:
        raise ConfigInvalid(f"policy: rule {name!r} refers to itself", key=name)
    parser = _Parser(name, text, rules, (*above, name))
    return parser.parse()


class _Parser:
    """A recursive descent: or-expressions of and-expressions of checks."""

    def __init__(
        self, name: str, text: str, rules: Mapping[str, str], above: tuple[str, ...]
    ) -> None:
        self._name = name
        self._text = text
        self._rules = rules
        self._above = above
        self._tokens = list(self._split(text))
        self._next = 0

    def parse(self) -> Check:
        if not self._tokens:
            return lambda _context, _target: True  # an empty rule allows, as in oslo.policy
        check = self._or()
        if self._peek() is not None:
            raise self._fault(f"{self._peek()!r} is out of place")
        return check

    def _split(self, text: str) -> Iterator[str]:
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise self._fault(f"cannot read {text[position:]!r}")
            position = match.end()
            yield match[1] or match[2]

    def _peek(self) -> str | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self) -> str:
        token = self._peek()
        if token is None:
            raise self._fault("it ends too early")
        self._next += 1
        return token

    def _word(self, word: str) -> bool:
        if (self._peek() or "").lower() == word:
            self._next += 1
            return True
        return False

    def _or(self) -> Check:
        checks = [self._and()]
        while self._word("or"):
            checks.append(self._and())
        return checks[0] if len(checks) == 1 else _any(checks)

    def _and(self) -> Check:
        checks = [self._not()]
        while self._word("and"):
            checks.append(self._not())
        return checks[0] if len(checks) == 1 else _all(checks)

    def _not(self) -> Check:
        if self._word("not"):
            inner = self._not()
            return lambda context, target: not inner(context, target)
        if self._word("("):
            inner = self._or()
            if not self._word(")"):
                raise self._fault("a parenthesis is not closed")
            return inner
        return self._check(self._take())

    def _check(self, token: str) -> Check:
        if token == "@":
            return lambda _context, _target: True
        if token == "!":
            return lambda _context, _target: False
        kind, colon, value = token.partition(":")
        if not colon or not value:
            raise self._fault(f"{token!r} is not a check such as role:admin")
        if kind == "role":
            wanted = value.lower()
            return lambda context, _target: wanted in context.roles
        if kind == "rule":
            if value not in self._rules:
                raise self._fault(f"it refers to an unknown rule {value!r}")
            return _compile(value, self._rules[value], self._rules, self._above)
        return _compare(kind, value)

    def _fault(self, reason: str) -> ConfigInvalid:
        return ConfigInvalid(f"policy: rule {self._name!r} ({self._text!r}): {reason}")


def _any(checks: list[Check]) -> Check:
    return lambda context, target: any(check(context, target) for check in checks)


def _all(checks: list[Check]) -> Check:
    return lambda context, target: all(check(context, target) for check in checks)


def _compare(left: str, right: str) -> Check:
    """`project_id:%(owner)s`: an attribute of the caller, or a constant, against the target's."""
    reference = _REFERENCE.fullmatch(right)

    def check(context: RequestContext, target: Target) -> bool:
        if reference is not None:
            if reference[1] not in target:
                return False
            wanted = target[reference[1]]
        else:
            wanted = right
        if left in _CALLER:
            have = getattr(context, left)
            return have is not None and str(have) == str(wanted)
        return left.strip("'\"") == str(wanted)

    return check


_CALLER = frozenset({"project_id", "user_id", "is_admin"})
