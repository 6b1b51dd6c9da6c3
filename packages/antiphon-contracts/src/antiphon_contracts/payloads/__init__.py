"""Payload models, by the part of the house that they belong to."""
