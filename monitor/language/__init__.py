"""From tokens to text, from text to words, from words to nouns and the objects they name."""
