"""Frozen records that more than one room uses, and what is read off them."""
