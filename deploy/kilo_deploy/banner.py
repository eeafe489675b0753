"""What `kilostack up` prints: where things are, and four commands to try."""

import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kilo_deploy import clouds
from kilo_deploy.checks import missing_tools
from kilo_deploy.state import StackInfo


def show(console: Console, info: StackInfo, folder: Path, seconds: float) -> None:
    """Print the stack's URLs, its clouds.yaml entry, and what to type next."""
    path = clouds.write(folder, info)
    console.print(f"\n[bold green]Kilostack is ready[/] after {seconds:.2f} s\n")
    table = Table.grid(padding=(0, 2))
    table.add_row("catalog (Image API v2)", info.catalog_url)
    table.add_row("messaging (Messaging API v2)", info.messaging_url)
    table.add_row("messaging (WebSocket)", info.websocket_url)
    if info.identity_url:
        table.add_row("identity (Identity API v3)", info.identity_url)
    if info.dashboard_url:
        table.add_row("dashboard", info.dashboard_url)
    table.add_row("state", str(folder))
    console.print(table, soft_wrap=True)
    _clouds(console, info, path)
    console.print("\n[bold]Try it[/] in another terminal; first, once:\n")
    _command(console, f"export {clouds.environment(path)}")
    for title, command in commands(info, folder):
        console.print(f"\n  [dim]# {title}[/]")
        _command(console, command)
    for tool in missing_tools():
        console.print(
            f"\n[yellow]{tool.name} is not installed:[/] {tool.consequence}. "
            f"Get it with: {tool.remedy}",
            highlight=False,
            soft_wrap=True,
        )
    console.print("\nCtrl-C stops it.\n")


def _clouds(console: Console, info: StackInfo, path: Path) -> None:
    if not info.accounts:
        console.print(f"\n[bold]{path}[/] holds this entry:\n")
        for line in clouds.render(info).splitlines()[1:]:
            console.print("  " + escape(line), highlight=False)
        return
    # Passwords stay in the file, which only its owner can read.
    console.print(f"\n[bold]{path}[/] holds these clouds:\n")
    table = Table.grid(padding=(0, 2))
    for account in info.accounts:
        table.add_row("", account.cloud, f"{account.username} in project {account.project}")
    console.print(table, soft_wrap=True, highlight=False)


def commands(info: StackInfo, folder: Path) -> list[tuple[str, str]]:
    """Four commands that work on a stack as it has just started, with what each does."""
    if shutil.which("qemu-img"):
        image = (
            "qemu-img create -q -f qcow2 /tmp/disk.qcow2 64M && openstack image create "
            "--file /tmp/disk.qcow2 --disk-format qcow2 --container-format bare first"
        )
    else:
        image = (
            "truncate -s 64M /tmp/disk.raw && openstack image create "
            "--file /tmp/disk.raw --disk-format raw --container-format bare first"
        )
    post = 'openstack messaging message post hello \'[{"body": "world", "ttl": 300}]\''
    kilostack = program()
    where = f"--state-dir {folder}" if info.strategy != "none" else f"--url {info.websocket_url}"
    watch = f"{kilostack} topics watch catalog.events {where}"
    return [
        ("create an image", image),
        ("post a message", post),
        ("watch a topic (create another image, and see it here)", watch),
        ("open the docs", f"{kilostack} docs"),
    ]


def program() -> str:
    """What to type for this very `kilostack`: its path, where the shell would not find it."""
    own = Path(sys.executable).parent / "kilostack"
    found = shutil.which("kilostack")
    if not own.exists() or (found and Path(found).resolve() == own.resolve()):
        return "kilostack"
    return str(own)


def _command(console: Console, command: str) -> None:
    # Unwrapped and unstyled, so that it can be copied as it is.
    console.print("  " + escape(command), highlight=False, soft_wrap=True)
