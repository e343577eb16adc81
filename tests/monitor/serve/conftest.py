"""A server on a port of its own, with the small model behind it."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sightline.monitor.models.samples import sample_images
from sightline.monitor.serve.limits import Limits
from sightline.monitor.session import Monitor

LIMITS = Limits(body_bytes=400_000, body_seconds=1.0, waiting=40, pixels=300_000, new_tokens=200)


def data_address(path: Path) -> str:
    """An image file as a client sends it."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def messages(image: str, text: str = "Please help me describe the image in detail.") -> list[Any]:
    """A user's turn with one image."""
    picture = {"type": "image_url", "image_url": {"url": image}}
    return [{"role": "user", "content": [{"type": "text", "text": text}, picture]}]


@pytest.fixture(scope="session")
def samples() -> tuple[str, ...]:
    """The sample images, as clients send them."""
    return tuple(map(data_address, sample_images()))


@pytest.fixture(scope="session")
def small() -> Monitor:
    """The small model with its calibration."""
    return Monitor.from_pretrained("small")


@pytest.fixture(scope="session")
def address(small: Monitor) -> Iterator[str]:
    """Where a running server is."""
    uvicorn = pytest.importorskip("uvicorn", reason="sightline[serve] is not installed")
    from sightline.monitor.serve.app import make_app

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    config = uvicorn.Config(
        make_app(small, limits=LIMITS), host="127.0.0.1", port=port, log_level="error"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < until
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=30)
