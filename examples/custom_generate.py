"""Let a policy act on flags inside ``model.generate``, for code that must keep calling it."""

from PIL import Image
from sightline.monitor import Monitor
from sightline.monitor.models.samples import sample_images
from sightline.monitor.policy import Policy

monitor = Monitor.from_pretrained("small")
decode = monitor.custom_generate(Policy(act="stop", threshold=0.3))
for path in sample_images():
    inputs = monitor.prepare([Image.open(path).convert("RGB")])
    ids = monitor.model.generate(**inputs, custom_generate=decode, max_new_tokens=128)
    print(
        monitor.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    )
    for action in decode.captions.reports[0].actions:
        print(f"    {action.outcome}: {action.old!r} ({', '.join(action.objects)})")
