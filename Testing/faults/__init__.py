"""What the tests show about bad input, faults and attacks, gathered into one document."""
