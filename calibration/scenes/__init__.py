"""The small world: rendered scenes with exact ground truth, and the small LVLM trained on it.

Scenes are pure functions of their seeds; :mod:`.seeds` says which seed belongs to which split.
"""
