"""Statements of the busiest paths, made ready once.

SQLite answers most statements within microseconds, and SQLAlchemy's way from a statement to its
rows takes ten times as long. So on SQLite a `Prepared` keeps the compiled text with the conversions
of its parameters and columns, and gives both to the driver itself. Elsewhere the round trip to the
server is what costs, and a `Prepared` is an ordinary statement.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec
import sqlalchemy as sa

Parameters: TypeAlias = Mapping[str, Any]
_Convert: TypeAlias = Callable[[Any], Any]
_Rows: TypeAlias = Callable[[Iterable[tuple[Any, ...]]], list[Any]]


class Prepared:
    """One statement of SQLAlchemy Core.

    All that changes is a `bindparam`, in an INSERT too; one for `IN` is `expanding`. Rows have
    their columns' names as attributes.
    """

    def __init__(self, statement: sa.Executable) -> None:
        self.statement = statement
        self._on_sqlite: _SqliteText | None = None

    def rows(self, connection: sa.Connection, parameters: Parameters) -> Sequence[Any]:
        """The rows that a SELECT finds.

        Raises:
            SQLAlchemyError: as `Connection.execute`; so do the other methods.
            KeyError: a parameter is missing.
        """
        if connection.dialect.name != "sqlite":
            return connection.execute(self.statement, parameters).all()
        text = self._text(connection)
        return text.read(text.run(connection, parameters))

    def first(self, connection: sa.Connection, parameters: Parameters) -> Any:
        """The first row that a SELECT finds, or None."""
        found = self.rows(connection, parameters)
        return found[0] if found else None

    def run(self, connection: sa.Connection, parameters: Parameters) -> int:
        """Change something; how many rows were."""
        if connection.dialect.name != "sqlite":
            return connection.execute(self.statement, parameters).rowcount
        changed: int = self._text(connection).run(connection, parameters).rowcount
        return changed

    def run_many(self, connection: sa.Connection, all_parameters: Sequence[Parameters]) -> None:
        """Change something once for each of the parameters; there is at least one."""
        if connection.dialect.name != "sqlite":
            connection.execute(self.statement, all_parameters)
        else:
            self._text(connection).run_many(connection, all_parameters)

    def _text(self, connection: sa.Connection) -> "_SqliteText":
        if self._on_sqlite is None:
            self._on_sqlite = _SqliteText(self.statement, connection.dialect)
        return self._on_sqlite


class _SqliteText:
    """A statement as SQLite's driver takes it."""

    def __init__(self, statement: Any, dialect: sa.Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._dialect = dialect
        self._text: str = compiled.string
        self._constants: dict[str, Any] = {}
        self._conversions: list[tuple[int, _Convert]] = []
        """Places among the values, and what turns a parameter into the value."""
        names = list(compiled.positiontup)
        for place, name in enumerate(names):
            bind = compiled.binds[name]
            convert = _bind_conversion(bind, dialect)
            if bind.expanding:
                # One text for lists of every length: SQLite keeps it ready, and looks up each item.
                self._text = self._text.replace(
                    f"(__[POSTCOMPILE_{name}])", "(SELECT value FROM json_each(?))"
                )
                convert = _as_json
            if convert is not None:
                self._conversions.append((place, convert))
            if not bind.required:
                self._constants[name] = compiled.params[name]
        self._in_order = _chooser(names)
        self.read = _reader(statement, dialect) if isinstance(statement, sa.Select) else _no_rows

    def run(self, connection: sa.Connection, parameters: Parameters) -> Any:
        """The driver's cursor."""
        values = self._values(parameters)
        try:
            return _driver(connection).execute(self._text, values)
        except self._errors as fault:
            raise self._translated(fault) from fault

    def run_many(self, connection: sa.Connection, all_parameters: Iterable[Parameters]) -> None:
        """Run it for each."""
        all_values = [self._values(parameters) for parameters in all_parameters]
        try:
            _driver(connection).executemany(self._text, all_values)
        except self._errors as fault:
            raise self._translated(fault) from fault

    def _values(self, parameters: Parameters) -> list[Any]:
        """The values for the places of the text."""
        if self._constants:
            parameters = {**self._constants, **parameters}
        values = list(self._in_order(parameters))
        for place, convert in self._conversions:
            values[place] = convert(values[place])
        return values

    @property
    def _errors(self) -> type[Exception]:
        errors: type[Exception] = self._dialect.loaded_dbapi.Error
        return errors

    def _translated(self, fault: Exception) -> BaseException:
        return sa.exc.DBAPIError.instance(
            self._text,
            None,
            fault,
            self._errors,
            hide_parameters=True,
            dialect=self._dialect,
        )


def _chooser(names: Sequence[str]) -> Callable[[Parameters], Iterable[Any]]:
    """What takes these out of parameters."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda parameters: [parameters[name] for name in names]


def _driver(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection


def _bind_conversion(bind: sa.BindParameter[Any], dialect: sa.Dialect) -> _Convert | None:
    if isinstance(bind.type, sa.LargeBinary):
        return None  # the driver takes bytes as they are
    return bind.type.dialect_impl(dialect).bind_processor(dialect)


def _as_json(items: Iterable[Any]) -> str:
    return msgspec.json.encode(list(items)).decode()


def _no_rows(_cursor: Iterable[tuple[Any, ...]]) -> list[Any]:
    raise AssertionError("only a SELECT has rows")


def _reader(statement: sa.Select[Any], dialect: sa.Dialect) -> _Rows:
    """What makes rows with names out of the driver's tuples."""
    columns = list(statement.selected_columns)
    kind: Any = namedtuple("Row", [column.key for column in columns])  # type: ignore[misc]
    conversions: list[tuple[int, _Convert]] = []
    for place, column in enumerate(columns):
        if isinstance(column.type, sa.LargeBinary):
            continue  # the driver gives bytes
        convert = column.type.dialect_impl(dialect).result_processor(dialect, None)
        if convert is not None:
            conversions.append((place, convert))

    def read(found: Iterable[tuple[Any, ...]]) -> list[Any]:
        made = []
        for row in found:
            values = list(row)
            for place, convert in conversions:
                values[place] = convert(values[place])
            made.append(kind._make(values))
        return made

    return read
