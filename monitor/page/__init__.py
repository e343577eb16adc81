"""Reports as one page that people can look at: self-contained, no network, for one or thousands."""
