"""What policies make of captions: each tried on the same images, compared, chosen, certified."""
