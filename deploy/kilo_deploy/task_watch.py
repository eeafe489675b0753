"""Follows tasks of the catalog until they end, and draws how far they are."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

Task = Mapping[str, Any]
ENDED = frozenset({"success", "failure"})
PAUSE = 0.5
"""Seconds between two looks."""
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class TaskWatch:
    """Looks at some tasks again and again."""

    def __init__(
        self,
        look: Callable[[], Sequence[Task]],
        console: Console,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`look` gives the tasks as they are now, always the same ones."""
        self._look = look
        self._console = console
        self._sleep = sleep

    def follow(self) -> Sequence[Task]:
        """The tasks once all have ended: with a bar for each on a terminal, and elsewhere a line
        for each change."""
        return self._bars() if self._console.is_terminal else self._lines()

    def _bars(self) -> Sequence[Task]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[step]}"),
            TimeElapsedColumn(),
        )
        shown: dict[str, TaskID] = {}
        with Progress(*columns, console=self._console) as progress:
            while True:
                tasks = self._look()
                for task in tasks:
                    bar = shown.get(task["id"])
                    if bar is None:
                        bar = shown[task["id"]] = progress.add_task(task["id"], total=100, step="")
                    percent = task["progress"]["percent"]
                    progress.update(bar, completed=percent, step=words_for(task))
                    if task["status"] in ENDED:
                        progress.stop_task(bar)
                if all(task["status"] in ENDED for task in tasks):
                    return tasks
                self._sleep(PAUSE)

    def _lines(self) -> Sequence[Task]:
        before: dict[str, str] = {}
        while True:
            tasks = self._look()
            for task in tasks:
                line = f"{task['progress']['percent']:>3} % {words_for(task)}"
                if before.get(task["id"]) != line:
                    self._console.print(f"{task['id']} {line}", markup=False)
                    before[task["id"]] = line
            if all(task["status"] in ENDED for task in tasks):
                return tasks
            self._sleep(PAUSE)


def words_for(task: Task) -> str:
    """Where a task is, in a few words."""
    if task["status"] in ENDED:
        return f"{task['status']}: {task['message']}" if task["message"] else task["status"]
    progress = task["progress"]
    words = progress["step"] or task["status"]
    if progress["bytes"]:
        total = f" of {human_size(progress['total'])}" if progress["total"] else ""
        words += f", {human_size(progress['bytes'])}{total}"
    return str(words)


def human_size(size: float) -> str:
    """A number of bytes as people read it."""
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
