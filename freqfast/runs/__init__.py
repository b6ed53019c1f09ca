"""Runs: the recipes that define them, and the directories that they leave."""
