"""PPO and VRPO under reward noise."""
