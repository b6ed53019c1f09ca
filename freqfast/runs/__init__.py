"""Runs: the recipe that defines one, and the directory that it leaves."""
