"""Files of limited size, and where the files of the user are."""
