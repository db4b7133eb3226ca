"""The environments of AgentGym (arXiv 2406.04151) and AgentGym-RL (arXiv 2509.08755), each in a folder of its own."""
