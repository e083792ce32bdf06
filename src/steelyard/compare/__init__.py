"""Weighs inference against training and the routes against each other, factor by factor."""
