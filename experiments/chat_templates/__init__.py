"""Is what a policy is taught, asked and shown the text of its chat template? All templates that TRL ships."""
