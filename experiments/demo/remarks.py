"""What was seen in the lines and in the picture of the demo's experiment, in words."""

REMARKS: tuple[str, ...] = ()
