"""Losses of the rivals that are not those of a flow."""
