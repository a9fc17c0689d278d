"""The differences between Linux, macOS and Windows. No other package asks for the name of the system."""
