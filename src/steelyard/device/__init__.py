"""From operators to seconds, bytes and joules on one device and across a fabric."""
