"""Starts and stops outside programs that train and serve for real."""
