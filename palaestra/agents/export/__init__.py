"""What was played, in the forms that others read."""
