"""Devices: sound cards, files, and none."""
