"""Objects, open uploads and their attributes on disk."""
