"""The table of subcommands, and how they end."""

from collections.abc import Callable
from typing import Any

import typer

from mtl_keras.cli import bench, demo_page, evaluate, export, inspect, list_, predict, train
from mtl_keras.cli.ending import ending_with_message

# name, function whose docstring and annotations are the help
COMMANDS: dict[str, Callable[..., Any]] = {
    "bench": bench.bench,
    "demo-page": demo_page.demo_page,
    "evaluate": evaluate.evaluate,
    "export": export.export,
    "inspect": inspect.inspect,
    "list": list_.list_,
    "predict": predict.predict,
    "train": train.train,
}

app = typer.Typer(
    name="mtl-keras",
    help="Multi-task learning for Keras 3: one trunk, many named outputs.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _name, _function in COMMANDS.items():
    app.command(name=_name)(_function)


def main(arguments: list[str] | None = None) -> None:
    """Run `mtl-keras`: input or files that are wrong end it with the message and exit status 1, wrong usage with 2."""
    with ending_with_message("mtl-keras"):
        app(arguments, prog_name="mtl-keras")
