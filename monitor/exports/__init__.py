"""Reports in the formats of other tools: spreadsheets, spaCy, SARIF viewers, COCO's scripts."""
