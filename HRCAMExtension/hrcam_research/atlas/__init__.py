"""The atlas that names places: how it was made, and how right it is."""
