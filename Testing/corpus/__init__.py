"""Bad (and strange but good) input of many kinds, made by code: see ``make.py``."""
