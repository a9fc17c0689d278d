"""How a source is split into parts, how many are in flight, and which worker sends which. Sizes are bytes."""
