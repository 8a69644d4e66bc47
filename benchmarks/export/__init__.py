"""What auxiliary tasks cost at serving: size and latency with and without them."""
