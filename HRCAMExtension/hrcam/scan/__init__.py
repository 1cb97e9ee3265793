"""A scan from file to network input: reading, geometry, checks, sampling plan, intensity. No torch at import."""
