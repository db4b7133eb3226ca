"""A car for people: the cockpit in characters (`cockpit`), and the car from above as an image (`picture`)."""
