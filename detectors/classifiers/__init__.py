"""The detectors as scikit-learn classifiers of mentions; label 1 and a high score: hallucinated."""
