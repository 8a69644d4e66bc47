"""The streaming label join: micro-batches that can be redone from their intents."""
