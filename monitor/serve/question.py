"""A chat completion request, read into a question about images that the monitor can be asked."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import InputError
from ..models.images import ImageInfo, open_image
from ..models.prompts import DEFAULT_PROMPT
from ..policy.policy import Policy
from ..policy.release import Show
from .limits import Limits

_DATA: Final = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)


class _Text(BaseModel):
    type: Literal["text"]
    text: str


class _Address(BaseModel):
    url: str


class _Picture(BaseModel):
    type: Literal["image_url"]
    image_url: _Address


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Annotated[_Text | _Picture, Field(discriminator="type")]] | None = None


class _Extra(BaseModel):
    """What sightline understands beyond OpenAI's fields."""

    model_config = ConfigDict(extra="forbid")

    policy: str | dict[str, Any] = "flag"
    threshold: float | None = None
    show: Show = "hold"
    inside: bool = False


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _Request(BaseModel):
    """The fields of OpenAI's request that mean something here; others are passed over."""

    model: str = ""
    messages: list[_Message] = Field(min_length=1)
    stream: bool = False
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    n: Literal[1] | None = None
    sightline: _Extra = _Extra()


class RefusedError(InputError):
    """A request that is not carried out.

    Attributes:
        status: HTTP status.
        code: kind of refusal, for programs.
    """

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What is asked of the model.

    Attributes:
        images: decoded.
        infos: what reports say of them.
        text: the question.
        max_new_tokens: the caption's length.
        temperature: 0 for greedy decoding.
        top_p: of sampling.
        seed: of sampling, ``None`` for any.
        stop: texts that end the caption.
        policy: what to do about flags.
        show: when text is sent.
        inside: whether the caption is looked at again for what the model's inside was like.
        stream: whether the answer comes in pieces.
        usage: whether the last piece counts tokens.
    """

    images: tuple[Image.Image, ...]
    infos: tuple[ImageInfo, ...]
    text: str
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]
    policy: Policy | str
    show: Show
    inside: bool
    stream: bool
    usage: bool


def read_question(body: bytes, limits: Limits) -> Question:
    """The question in a request's body.

    Raises:
        RefusedError: it is no such request, asks for too much, or for what cannot be had here.
    """
    try:
        request = _Request.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RefusedError(
            f"A request must be OpenAI's chat completion request; {where or 'the body'}: "
            f"{first['msg']}."
        ) from error
    text, addresses = _asked(request.messages)
    if len(text) > limits.prompt_characters:
        raise RefusedError(
            f"A question may have at most {limits.prompt_characters:,} characters, this one has "
            f"{len(text):,}."
        )
    if not 1 <= len(addresses) <= limits.images:
        raise RefusedError(
            f"A question must come with 1 to {limits.images} images, came with {len(addresses)}. "
            f'Give them as {{"type": "image_url", "image_url": {{"url": "data:image/png;base64,'
            f'..."}}}}.'
        )
    asked = request.max_completion_tokens or request.max_tokens or min(512, limits.new_tokens)
    if asked > limits.new_tokens:
        raise RefusedError(
            f"An answer may have at most {limits.new_tokens:,} tokens here, asked for {asked:,}."
        )
    opened = [
        _image(one, f"image {number}", limits) for number, one in enumerate(addresses, start=1)
    ]
    stop = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    extra = request.sightline
    return Question(
        images=tuple(one.image for one in opened),
        infos=tuple(one.info for one in opened),
        text=text or DEFAULT_PROMPT,
        max_new_tokens=asked,
        temperature=request.temperature or 0.0,
        top_p=1.0 if request.top_p is None else request.top_p,
        seed=request.seed,
        stop=stop,
        policy=_policy(extra),
        show=extra.show,
        inside=extra.inside,
        stream=request.stream,
        usage=request.stream_options is not None and request.stream_options.include_usage,
    )


def _asked(messages: list[_Message]) -> tuple[str, list[str]]:
    """The text and the images' addresses of the one user turn, what the system says before it."""
    texts: list[str] = []
    addresses: list[str] = []
    for place, message in enumerate(messages):
        last = place == len(messages) - 1
        if message.role not in ("user", "system", "developer") or (message.role == "user") != last:
            raise RefusedError(
                "A conversation must be one user message, after a system message if there is one: "
                "verdicts are calibrated for first answers. Ask again without earlier turns."
            )
        content = message.content or ""
        parts = [_Text(type="text", text=content)] if isinstance(content, str) else content
        for part in parts:
            if isinstance(part, _Text):
                texts.append(part.text)
            else:
                addresses.append(part.image_url.url)
    return "\n".join(one for one in texts if one.strip()), addresses


def _image(address: str, name: str, limits: Limits) -> Any:
    found = _DATA.match(address)
    if found is None:
        # What else an address names lies on this machine or beyond: no client's business.
        raise RefusedError(
            f"An image must come inside the request, as data:image/png;base64,... ; {name} is an "
            f"address of another kind. Nothing is fetched or opened for clients.",
            code="invalid_image_url",
        )
    try:
        packed = base64.b64decode(address[found.end() :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError(f"The base64 of {name} is damaged: {error}.") from error
    try:
        return open_image(packed, max_pixels=limits.pixels, name=name)
    except InputError as error:
        raise RefusedError(str(error), code="invalid_image") from error


def _policy(extra: _Extra) -> Policy | str:
    try:
        if isinstance(extra.policy, dict):
            return Policy.from_json({**extra.policy, "threshold": extra.threshold})
        if extra.threshold is None:
            return extra.policy
        return replace(Policy.of(extra.policy), threshold=extra.threshold)
    except ValueError as error:
        raise RefusedError(f"sightline.policy: {error}") from error
