"""Routes month by month, with ranges and advice. Empty until `steelyard decide` exists."""
