"""How an object is named and described in each dialect: names, the headers of its options, and media types."""
