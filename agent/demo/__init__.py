"""Built-in simulated venues: the payloads of the real ones, moving prices, only a loopback port."""
