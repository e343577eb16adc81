"""Serve a live page and an OpenAI-compatible endpoint for one model."""

from __future__ import annotations

from pathlib import Path

import click

from ...detectors.extras import remedy
from .options import calibration_option, device_option, lexicon_option, model_option


@click.command(
    epilog="""\b
Examples:
  sightline serve
  sightline serve --model llava-hf/llava-1.5-7b-hf --device cuda --port 8080
  sightline serve --host 0.0.0.0 --allow-host captions.example.org

\b
Then:
  open http://127.0.0.1:8000, drop an image and watch the caption being written; or
  point an OpenAI client at http://127.0.0.1:8000/v1. Verdicts are in the field "sightline" of
  each chunk; ask for a policy with {"sightline": {"policy": "stop"}} in the request.

\b
Images come inside requests; nothing is fetched or opened for clients, and nothing is kept.
"""
)
@model_option
@calibration_option
@device_option
@lexicon_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name under which clients may address the server, beside localhost; '*' for any.",
)
@click.option("--max-seconds", type=click.FloatRange(min=1), help="For one answer; 120 by default.")
@click.option("--max-waiting", type=click.IntRange(min=1), help="Requests in line; 64 by default.")
@click.option(
    "--max-pixels", type=click.IntRange(min=1), help="Of an image; 24,000,000 by default."
)
def serve(
    *,
    model: str,
    calibration: Path | None,
    device: str | None,
    lexicon: str | None,
    host: str,
    port: int,
    hosts: tuple[str, ...],
    max_seconds: float | None,
    max_waiting: int | None,
    max_pixels: int | None,
) -> None:
    """Serve a live page and an OpenAI-compatible endpoint for one model."""
    try:
        import uvicorn

        from ..serve.app import LOOPBACK, make_app
    except ImportError as error:
        raise click.ClickException(
            f"Serving needs a web framework ({error.name} is missing): {remedy('serve')}"
        ) from error
    from ..serve.limits import Limits
    from .caption import load_monitor

    monitor = load_monitor(model, device=device, lexicon=lexicon, calibration=calibration)
    usual = Limits()
    limits = Limits(
        seconds=max_seconds or usual.seconds,
        waiting=max_waiting or usual.waiting,
        pixels=max_pixels or usual.pixels,
    )
    application = make_app(monitor, limits=limits, hosts=(*LOOPBACK, *hosts))
    uvicorn.run(
        application,
        host=host,
        port=port,
        log_level="info",
        timeout_keep_alive=10,
        limit_concurrency=4 * limits.waiting + 16,
        server_header=False,
    )
