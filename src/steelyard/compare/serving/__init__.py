"""One serving deployment, or a fleet of them, under one load, with its price and its energy at the meter."""
