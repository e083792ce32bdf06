"""Models behind an OpenAI-compatible address: engines, replicas of them, and the front door."""
