"""The server: OpenAI's own client, many clients, bad clients, and a browser."""

from __future__ import annotations

import base64
import io
import json
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image
from sightline.monitor.report import Report
from sightline.monitor.session import Monitor

from .conftest import LIMITS, messages

openai = pytest.importorskip("openai", reason="openai is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)


@pytest.fixture
def client(address: str) -> Any:
    """OpenAI's client, pointed at the server."""
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def expected(small: Monitor) -> tuple[str, ...]:
    """What the model says of each sample image without a server."""
    from sightline.monitor.models.images import open_image
    from sightline.monitor.models.samples import sample_images

    texts: list[str] = []
    for path in sample_images():
        inputs = small.prepare([open_image(path).image])
        texts += small.generate(**inputs, max_new_tokens=200, do_sample=False).texts
    return tuple(texts)


def test_whole_answers_are_the_monitors(
    client: Any, samples: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """Text, finish, usage and report of an answer in one piece."""
    answer = client.chat.completions.create(
        model="small", messages=messages(samples[0]), max_completion_tokens=200
    )
    choice = answer.choices[0]
    assert choice.message.content == expected[0]
    assert choice.finish_reason == "stop"
    report = answer.sightline["report"]
    assert report["text"] == expected[0]
    assert answer.usage.completion_tokens == len(report["tokens"])


@pytest.mark.parametrize("policy", ["flag", "redecode", "drop", "stop"])
def test_the_stream_is_the_answer(client: Any, samples: tuple[str, ...], policy: str) -> None:
    """Held text joined is the final text under every policy; verdicts point at their words."""
    extra = {"sightline": {"policy": policy, "threshold": 0.15}}
    stream = client.chat.completions.create(
        model="small",
        messages=messages(samples[3]),
        stream=True,
        stream_options={"include_usage": True},
        extra_body=extra,
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    told = [getattr(chunk, "sightline", None) or {} for chunk in chunks]
    (report,) = [one["report"] for one in told if "report" in one]
    assert text == report["text"]
    verdicts = [mention for one in told for mention in one.get("mentions", ())]
    assert verdicts
    for mention in verdicts:
        assert text[mention["start"] : mention["end"]].lower() == mention["word"].lower()
    assert not any("retract" in one for one in told)
    assert chunks[-1].usage.completion_tokens == len(report["tokens"])


def test_live_text_is_taken_back(client: Any, samples: tuple[str, ...]) -> None:
    """With show=live the chunks, retractions obeyed, end in the same text as when held."""
    texts = {}
    retracted = 0
    for show in ("live", "hold"):
        stream = client.chat.completions.create(
            model="small",
            messages=messages(samples[3]),
            stream=True,
            extra_body={"sightline": {"policy": "stop", "threshold": 0.15, "show": show}},
        )
        text = ""
        for chunk in stream:
            told = getattr(chunk, "sightline", None) or {}
            text += chunk.choices[0].delta.content or ""
            if "retract" in told:
                retracted += 1
                text = text[: told["retract"]["start"]]
        texts[show] = text
    assert retracted == 1
    assert texts["live"] == texts["hold"]


@pytest.mark.once
def test_thirty_two_clients_get_their_own_answers(
    client: Any, samples: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """All finish, none is mixed up, and nobody is overtaken by much."""
    began = time.monotonic()
    ends: dict[int, float] = {}

    def ask(number: int) -> str:
        which = number % len(samples)
        stream = client.chat.completions.create(
            model="small", messages=messages(samples[which]), stream=True, max_tokens=200
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        ends[number] = time.monotonic() - began
        return text

    with ThreadPoolExecutor(32) as pool:
        texts = list(pool.map(ask, range(32)))
    assert texts == [expected[number % len(expected)] for number in range(32)]
    assert max(ends.values()) < 60


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body"),
        (b"[]", "the body"),
        (b'{"messages": []}', "messages"),
        (b'{"messages": 3}', "messages"),
        (b'{"messages": [{"role": "user", "content": "hello"}]}', "1 to 4 images"),
        (b'{"messages": [{"role": "wizard", "content": "x"}]}', "role"),
        (json.dumps({"messages": [{"role": "assistant", "content": "x"}]}).encode(), "user"),
        (json.dumps({"messages": messages("data:image/png;base64,!!")}).encode(), "base64"),
        (json.dumps({"messages": messages("data:image/png;base64,AAAA")}).encode(), "image 1"),
        (json.dumps({"messages": messages("x"), "max_tokens": 10**6}).encode(), "200 tokens"),
        (json.dumps({"messages": messages("x", "y" * 9000)}).encode(), "8,000 characters"),
        (json.dumps({"messages": messages("x"), "n": 5}).encode(), "n"),
        (json.dumps({"messages": messages("x"), "sightline": {"polcy": 1}}).encode(), "polcy"),
    ],
)
def test_bad_requests_are_told_the_rule(address: str, body: bytes, said: str) -> None:
    """Status 400 and OpenAI's error object, with what was wrong."""
    answer = httpx.post(f"{address}/v1/chat/completions", content=body, timeout=20)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "image",
    ["file:///etc/passwd", "/etc/passwd", "http://127.0.0.1:22/", "https://example.org/a.png", ""],
)
def test_nothing_is_opened_for_clients(client: Any, image: str) -> None:
    """An image that is not in the request is refused, whatever it points at."""
    with pytest.raises(openai.BadRequestError, match="inside the request"):
        client.chat.completions.create(model="small", messages=messages(image))


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/samples/../../small/config.json",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/samples/instances.json",
        "/common.css/../../small/model.safetensors",
        "/v1",
    ],
)
def test_only_the_page_can_be_got(address: str, path: str) -> None:
    """Paths that climb or guess find nothing."""
    where = urlsplit(address)
    with socket.create_connection((where.hostname, where.port), timeout=10) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert b" 404 " in raw.recv(100)


def test_foreign_host_names_are_turned_away(address: str) -> None:
    """A page elsewhere whose name points here gets nothing."""
    answer = httpx.get(f"{address}/v1/models", headers={"Host": "evil.example"})
    assert answer.status_code == 400


def test_the_inside_comes_on_request(small: Monitor, client: Any, samples: tuple[str, ...]) -> None:
    """The report has what inspecting it gives, in one piece and streamed; else it has none."""
    from sightline.monitor.inspection import inspect
    from sightline.monitor.models.images import open_image
    from sightline.monitor.models.samples import sample_images

    asked = {"model": "small", "messages": messages(samples[2], "What is there?")}
    plain = client.chat.completions.create(**asked)
    extra = {"sightline": {"inside": True}}
    whole = client.chat.completions.create(**asked, extra_body=extra)
    last = list(client.chat.completions.create(**asked, extra_body=extra, stream=True))[-1]
    report = Report.model_validate(plain.sightline["report"])
    assert report.inside is None
    found = inspect(small, report, open_image(sample_images()[2]).image).model_dump(mode="json")
    for one in (whole.sightline["report"], last.sightline["report"]):
        assert one["inside"] == found["inside"]
        assert one["mentions"] == found["mentions"]


def test_an_inside_that_cannot_be_had_is_excused(
    small: Monitor, samples: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caption is answered all the same, and the reason is given."""
    from sightline.monitor.errors import InputError
    from sightline.monitor.serve import engine
    from sightline.monitor.serve.app import make_app
    from starlette.testclient import TestClient

    def fail(*_: object, **__: object) -> Report:
        raise InputError("no inside today")

    monkeypatch.setattr(engine, "inspect", fail)
    http = TestClient(make_app(small, limits=LIMITS), base_url="http://localhost")
    body = {"messages": messages(samples[0]), "sightline": {"inside": True}}
    told = http.post("/v1/chat/completions", json=body).json()["sightline"]
    assert told["uninspected"] == "no inside today"
    assert told["report"]["inside"] is None


def test_a_bomb_is_not_unpacked(client: Any) -> None:
    """An image of few bytes and many pixels is refused by its size."""
    packed = io.BytesIO()
    Image.new("1", (9000, 9000)).save(packed, "PNG")
    assert len(packed.getvalue()) < 20_000
    image = "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode("ascii")
    with pytest.raises(openai.BadRequestError, match="pixels"):
        client.chat.completions.create(model="small", messages=messages(image))


def test_a_huge_body_is_cut_off(address: str) -> None:
    """More bytes than allowed are not read: 413."""
    body = b'{"messages": "' + b"x" * (LIMITS.body_bytes + 10)
    answer = httpx.post(f"{address}/v1/chat/completions", content=body)
    assert answer.status_code == 413


def test_a_slow_body_and_a_stuck_reader_hold_up_nobody(
    address: str, client: Any, samples: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """While one client dribbles and another never reads, a third is answered as ever."""
    where = urlsplit(address)
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n"
    body = json.dumps({"stream": True, "messages": messages(samples[1])}).encode()
    with (
        socket.create_connection((where.hostname, where.port)) as slow,
        socket.create_connection((where.hostname, where.port)) as stuck,
    ):
        slow.sendall(head.format(5000).encode() + b'{"messages"')
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        stuck.sendall(head.format(len(body)).encode() + body)
        answer = client.chat.completions.create(
            model="small", messages=messages(samples[0]), max_tokens=200, timeout=30
        )
        assert answer.choices[0].message.content == expected[0]
        slow.settimeout(10)
        assert b" 408 " in slow.recv(200)


def test_a_client_that_leaves_frees_the_model(
    address: str, client: Any, samples: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """After twenty abandoned streams the next answer is right."""
    body = {"stream": True, "messages": messages(samples[1])}
    for _ in range(20):
        with httpx.stream("POST", f"{address}/v1/chat/completions", json=body) as stream:
            next(stream.iter_lines())
    answer = client.chat.completions.create(
        model="small", messages=messages(samples[0]), max_tokens=200, timeout=60
    )
    assert answer.choices[0].message.content == expected[0]


def test_too_many_are_told_to_come_back(small: Monitor, samples: tuple[str, ...]) -> None:
    """A full line answers 503 with Retry-After at once."""
    import asyncio
    from dataclasses import replace

    from sightline.monitor.serve.app import make_app

    app = make_app(small, limits=replace(LIMITS, waiting=1), hosts=("*",))

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as one:
            asked = [
                one.post(
                    "/v1/chat/completions", json={"messages": messages(samples[0])}, timeout=60
                )
                for _ in range(8)
            ]
            return await asyncio.gather(*asked)

    answers = asyncio.run(crowd())
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    assert all(answer.headers["Retry-After"] for answer in refused)
    assert any(answer.status_code == 200 for answer in answers)


@pytest.mark.once
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1300, "light")])
def test_the_live_page_in_a_browser(address: str, width: int, scheme: str) -> None:
    """A sample image is described twice, side by side; no console error, no outside request."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        size = {"width": width, "height": 800}
        page = browser.new_context(viewport=size, color_scheme=scheme).new_page()
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        page.locator("#samples button").nth(3).click()
        page.select_option("#policy", "stop")
        page.locator("#threshold").fill("15")
        page.click("#go:not([disabled])")
        for place in (0, 1):
            page.locator(".answer").nth(place).locator(".note", has_text="tokens").wait_for()
        greedy, policy = (page.locator(".answer").nth(place).inner_text() for place in (0, 1))
        assert "likely made up" in greedy
        assert "stopped" in policy
        assert "likely made up" not in policy
        page.locator(".answer").nth(0).locator("button.mention.flagged").last.hover()
        page.wait_for_selector("svg.profile")
        assert "flagged" in page.inner_text("#panel h3")
        assert page.locator(".look .mapped").count() == 1
        page.keyboard.press("l")
        page.locator(".stage").focus()
        page.keyboard.press("ArrowRight")
        assert "reads as" in page.inner_text(".readout")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        browser.close()
    assert said == []
    assert all(url.startswith((address, "data:")) for url in asked)
