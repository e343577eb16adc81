"""How the small model is made: see first, then language alone, then the two together."""
