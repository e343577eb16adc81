"""What long jobs need, whatever they write: what goes together, and what is tried again."""
