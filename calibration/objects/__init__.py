"""Which objects captions name, and whether they are there: annotations, labels, CHAIR."""
