"""How likely one object mention is hallucinated, from what it looked like inside the model.

Pure numpy and scikit-learn: no torch, no transformers. Label 1 and a high score both mean
*hallucinated*, everywhere.
"""
