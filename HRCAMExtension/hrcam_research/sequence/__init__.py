"""The recipe of the small network that tells sequences (`hrcam.sequence`), and how it is measured.

``python -m hrcam_research.sequence --data DATA --out FOLDER`` trains it, ``python -m hrcam_research.sequence.evaluate
--data DATA`` counts which scans are warned of.
"""
