"""TextCraft: craft a goal item from a list of recipes, by text commands."""
