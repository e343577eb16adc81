"""A server for one model: a live page, and an endpoint that OpenAI's clients understand."""
