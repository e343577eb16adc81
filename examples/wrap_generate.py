"""Watch a call of ``generate`` that stays yours: same tokens, same scores, and a report."""

from PIL import Image
from sightline.monitor import Monitor
from sightline.monitor.models.samples import sample_images

monitor = Monitor.from_pretrained("small")  # or Monitor(model, processor) around your own
inputs = monitor.prepare([Image.open(sample_images()[3]).convert("RGB")])
with monitor.watch(inputs, max_new_tokens=128) as watch:
    monitor.model.generate(
        **inputs,
        max_new_tokens=128,
        logits_processor=[watch.logits_processor],
        streamer=watch.streamer,
    )

report = watch.reports[0]
print(report.text)
for noun in report.mentions:
    if noun.object is not None:
        print(f"{noun.word:12} {noun.probability:5.1%}{'  likely made up' if noun.flagged else ''}")
