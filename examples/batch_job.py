"""Caption a folder in batches; run it again and it goes on with what is missing.

The same as ``sightline caption FOLDER --out reports.jsonl --batch-size 4``, from Python.
"""

import sys
from pathlib import Path

from sightline.monitor import Monitor, open_image, parse_record
from sightline.monitor.models.samples import sample_images

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else sample_images()[0].parent
out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("reports.jsonl")
monitor = Monitor.from_pretrained("small")
files = sorted(folder.glob("*.png"))
with out.open("a+", encoding="utf-8") as file:
    file.seek(0)
    done = {record.image.path for record in map(parse_record, file) if record.image is not None}
    waiting = [path for path in files if str(path) not in done]
    for start in range(0, len(waiting), 4):
        opened = [open_image(path) for path in waiting[start : start + 4]]
        inputs = monitor.prepare([one.image for one in opened])
        infos = [one.info for one in opened]
        for report in monitor.generate(**inputs, images=infos, max_new_tokens=128).reports:
            file.write(report.to_json() + "\n")
flagged = sum(
    any(mention.flagged for mention in parse_record(line).mentions)
    for line in out.read_text(encoding="utf-8").splitlines()
)
print(f"{len(files)} captions in {out}, {flagged} with a flag")
