"""Requests of people in the cockpit: how they are said, what they mean, and tasks generated from them."""
