"""Distances on label images: compiled, exact, NumPy in and NumPy out."""
