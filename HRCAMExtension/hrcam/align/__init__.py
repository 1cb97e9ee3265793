"""Two images of one head, or a head and a template, brought to one another, and whether that succeeded."""
