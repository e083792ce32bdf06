"""The seven factors, one file each."""
