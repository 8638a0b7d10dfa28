"""How arrays, tables and attributes lie in Zarr, and how they are read."""
