"""The command `hrcam`, one file a sub-command; `app.COMMANDS` lists them."""
