"""Success of the experts and of random play on test tasks of AgentGym's worlds."""
