"""What a release needs: pins, licenses, public names, README's tables, and a check of the built package."""
