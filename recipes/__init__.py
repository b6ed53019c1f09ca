"""Recipes: runs defined as Python modules."""
