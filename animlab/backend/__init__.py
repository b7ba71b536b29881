"""What makes training fast on this machine, and spreads it over several: a reader of the lessons never needs it."""
