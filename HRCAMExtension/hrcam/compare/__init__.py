"""Two scans of one person: which regions are new, growing, stable, shrinking or resolved."""
