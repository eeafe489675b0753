"""`kilostack bus`: the bus for people at a terminal: read about it, watch it, call, announce."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import yaml
from rich.console import Console

from kilo_common.bus.listener import NotificationListener
from kilo_common.bus.notifier import PRIORITIES, Notifier
from kilo_common.bus.rpc_client import RpcClient
from kilo_common.bus.target import Target
from kilo_common.bus.transport import Transport
from kilo_common.clock import SystemClock
from kilo_common.ids import random_id
from kilo_common.settings import BusSettings
from kilo_deploy import busline
from kilo_deploy.commands import options
from kilo_deploy.commands.bus_proxy import proxy
from kilo_deploy.processes import StopSignal

F = TypeVar("F", bound=Callable[..., Any])
TIMEOUT = 10.0
_PLACE = (
    click.option("--url", help="The broker (rabbit://user:password@host/); default: bus.url."),
    options.config_file,
)


def _placed(command: F) -> F:
    for option in reversed(_PLACE):
        command = option(command)
    return command


@click.group()
def bus() -> None:
    """Read about the bus, watch it, call and announce."""


bus.add_command(proxy)


@bus.command()
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml")
@options.config_file
def doc(form: str, config_file: Path | None) -> None:
    """Print an AsyncAPI document of what the services say and serve."""
    described = busline.describe(options.read_settings(config_file, None).bus)
    if form == "json":
        click.echo(json.dumps(described, indent=2))
    else:
        click.echo(yaml.safe_dump(described, sort_keys=False, allow_unicode=True), nl=False)


@bus.command()
@_placed
@click.option("--topic", help="The topic; default: that of the configuration.")
@click.option("--priority", "priorities", multiple=True, type=click.Choice(PRIORITIES))
@click.option("--json", "as_json", is_flag=True, help="Print each notification as one JSON line.")
@click.option("--count", type=click.IntRange(1), help="End after so many.")
def watch(
    url: str | None,
    config_file: Path | None,
    topic: str | None,
    priorities: Sequence[str],
    as_json: bool,
    count: int | None,
) -> None:
    """Print notifications from now on, until Ctrl-C. Nobody else gets fewer for it."""
    settings = _settings(config_file)
    topic = topic or settings.notification_topic
    console = Console(soft_wrap=True, highlight=False)
    stop = StopSignal()
    shown = busline.Countdown(count, stop.set)

    def show(notification: Any) -> None:
        if shown.done:
            return
        text = busline.as_json(notification) if as_json else busline.one_line(notification)
        console.print(text, markup=False)
        shown.one()

    with busline.connected(busline.for_watching(url or settings.url)) as transport:
        listener = NotificationListener(
            transport,
            show,
            topic=topic,
            exchange=settings.exchange,
            priorities=priorities or PRIORITIES,
            pool=f"{topic}.watch.{random_id()}",
            workers=1,
        )
        listener.start()
        if not as_json:
            console.print(f"Watching [bold]{topic}[/]; Ctrl-C ends it.")
        stop.wait()
        listener.stop(2.0)


@bus.command()
@_placed
@click.argument("topic")
@click.argument("method")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]…")
@click.option("--server", help="The one server to ask; default: any.")
@click.option("--namespace", help="The namespace of the method.")
@click.option("--version", default="1.0", show_default=True, help="The version of the method.")
@click.option("--cast", is_flag=True, help="Do not wait for the answer.")
@click.option("--fanout", is_flag=True, help="Ask every server; there is no answer.")
@click.option("--timeout", default=TIMEOUT, show_default=True, help="Seconds to wait.")
@click.option("--project", default="demo", show_default=True, help="In whose name.")
def call(
    url: str | None,
    config_file: Path | None,
    topic: str,
    method: str,
    arguments: Sequence[str],
    server: str | None,
    namespace: str | None,
    version: str,
    cast: bool,
    fanout: bool,
    timeout: float,
    project: str,
) -> None:
    """Call METHOD of the servers of TOPIC and print its result as JSON.

    A VALUE is JSON if it can be read as that (5, true, '{"a": 1}'), and text otherwise.
    """
    given = busline.parse_arguments(arguments)
    with _open(url, config_file) as (transport, settings):
        target = Target(topic, settings.exchange, server, fanout, namespace, version)
        client = RpcClient(transport, target, new_id=random_id, timeout=timeout)
        context = busline.context_of(project)
        try:
            if cast or fanout:
                client.cast(context, method, given)
            else:
                click.echo(json.dumps(client.call(context, method, given), indent=2))
        finally:
            client.stop(1.0)


@bus.command()
@_placed
@click.argument("event_type")
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]…")
@click.option("--priority", type=click.Choice(PRIORITIES), default="info", show_default=True)
@click.option("--publisher", default="kilostack.terminal", show_default=True)
@click.option("--topic", help="The topic; default: that of the configuration.")
@click.option("--project", default="demo", show_default=True, help="The project it concerns.")
def notify(
    url: str | None,
    config_file: Path | None,
    event_type: str,
    values: Sequence[str],
    priority: str,
    publisher: str,
    topic: str | None,
    project: str,
) -> None:
    """Announce EVENT_TYPE with a payload of the given values; prints the message id."""
    payload = busline.parse_arguments(values)
    with _open(url, config_file) as (transport, settings):
        notifier = Notifier(
            transport,
            publisher,
            clock=SystemClock(),
            new_id=random_id,
            topic=topic or settings.notification_topic,
            exchange=settings.exchange,
        )
        context = busline.context_of(project)
        click.echo(
            notifier.notify(context, event_type, payload, priority=priority, timeout=TIMEOUT)
        )


def _settings(config_file: Path | None) -> BusSettings:
    return options.read_settings(config_file, None).bus


@contextmanager
def _open(url: str | None, config_file: Path | None) -> Iterator[tuple[Transport, BusSettings]]:
    settings = _settings(config_file)
    with busline.connected(url or settings.url) as transport:
        yield transport, settings
