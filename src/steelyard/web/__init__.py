"""The local page. Empty until `steelyard web` exists."""
