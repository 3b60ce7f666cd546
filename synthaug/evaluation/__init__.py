"""What a generator or a cache is worth, in figures. Reads everything; nothing imports it but the command line."""
