"""`steelyard web`: the local page."""

from __future__ import annotations

import click

from steelyard.errors import InputError

LOOPBACK = "127.0.0.1"


@click.command("web")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes any free one.")
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on; others can then reach it.")
@click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser.")
def command(port: int, host: str, open_browser: bool) -> None:
    """What changes when load, prices or hardware do? The comparison with sliders, in your browser.

    Runs on this machine, asks no other one, and listens on 127.0.0.1 only unless told otherwise. Ctrl-C ends it.
    Needs the extra: pip install 'steelyard[web]'

    \b
    Example:
      steelyard web --open
      steelyard web --port 9000
    """
    try:
        from steelyard.web.server import serve
    except ModuleNotFoundError as error:
        if error.name not in {"starlette", "uvicorn"}:
            raise
        raise InputError(f"the page needs {error.name}; next step: pip install 'steelyard[web]'") from None
    serve(host, port, open_browser=open_browser, tell=click.echo)
