"""Show a caption while it is written; nothing that was printed is ever taken back."""

from PIL import Image
from sightline.monitor import Monitor, Token, Verdict
from sightline.monitor.events import Action
from sightline.monitor.models.samples import sample_images

monitor = Monitor.from_pretrained("small")
inputs = monitor.prepare([Image.open(sample_images()[3]).convert("RGB")])
with monitor.stream(**inputs, max_new_tokens=128, policy="redecode") as events:
    for event in events:
        match event:
            case Token(text=text):
                print(text, end="", flush=True)
            case Verdict(flagged=True, probability=probability):
                print(f" [{probability:.0%} made up?]", end="", flush=True)
            case Action(outcome=outcome, old=old):
                print(f"\n({outcome}: {old})", end="", flush=True)
            case _:
                pass
print()
