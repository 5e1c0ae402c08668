"""The networks and nothing else: one file a network, its config dataclass right above it."""
