"""Many results summed up by groups: where, how often, how strongly, and whether groups differ."""
