"""What is trained on: demonstrations, and rewards with noise."""
