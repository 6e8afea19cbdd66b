"""How much may be under way at once, and what it may take of the memory and of the time."""
