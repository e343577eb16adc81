"""A vision-language model on the way in: found, loaded, prompted, and where its parts are."""
