"""An endpoint of your own: an image in, a caption with verdicts out.

    pip install fastapi uvicorn
    uvicorn web_app:app
    curl --data-binary @photo.jpg http://127.0.0.1:8000/caption

``sightline serve`` has a live page and an OpenAI-compatible endpoint ready.
"""

from threading import Lock
from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException
from sightline.monitor import Monitor, open_image
from sightline.monitor.errors import ImageError

app = FastAPI()
monitor = Monitor.from_pretrained("small")
one_at_a_time = Lock()


@app.post("/caption")
def caption(
    image: Annotated[bytes, Body(media_type="image/*")], policy: str = "flag"
) -> dict[str, Any]:
    """The caption, its objects, and what the policy did."""
    try:
        opened = open_image(image, max_pixels=16_000_000)
    except ImageError as error:
        raise HTTPException(400, str(error)) from error
    with one_at_a_time:
        inputs = monitor.prepare([opened.image])
        report = monitor.generate(**inputs, max_new_tokens=128, policy=policy).reports[0]
    objects = [mention for mention in report.mentions if mention.object is not None]
    return {
        "text": report.text,
        "objects": [
            {"name": one.object, "probability": one.probability, "flagged": one.flagged}
            for one in objects
        ],
        "actions": [action.model_dump() for action in report.actions],
    }
