"""Stand-in for `slicer.i18n`: no translations are installed, so texts come back as they are.

`tr` refuses what Slicer's translation tool (lupdate) could not collect: anything but a string.
"""


def translate(context, text):
    if not isinstance(text, str):
        raise TypeError(f"translate() needs a string, got {type(text).__name__}")
    return text


def tr(text):
    return translate("", text)
