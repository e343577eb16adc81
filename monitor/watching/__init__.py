"""One call of ``generate``, watched: what plugs into it, and what becomes of each caption."""
