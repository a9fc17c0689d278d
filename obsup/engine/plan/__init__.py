"""How a source is split into parts. Pure; sizes are bytes."""
