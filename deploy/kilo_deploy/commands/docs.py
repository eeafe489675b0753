"""`kilostack docs`: the documents on the terminal."""

import click
from rich.console import Console
from rich.markdown import Markdown

from kilo_deploy.docs import TOPICS, read


@click.command()
@click.argument("topic", default="readme", type=click.Choice(sorted(TOPICS)))
def docs(topic: str) -> None:
    """Show a document: the README, the architecture, or one part's."""
    console = Console()
    if console.is_terminal:
        with console.pager(styles=True):
            console.print(Markdown(read(topic)))
    else:
        click.echo(read(topic), nl=False)
