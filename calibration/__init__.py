"""From held-out captions to a trusted detector: the only room that knows ground truth."""
