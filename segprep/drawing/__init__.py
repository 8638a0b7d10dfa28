"""Masks and their targets as images, with palettes and legends."""
