"""Confinement of the commands that strangers' code runs in."""
