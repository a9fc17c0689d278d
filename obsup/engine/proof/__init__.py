"""What verifies a part, a list of parts and an object. Pure functions over receipts and the store's responses."""
