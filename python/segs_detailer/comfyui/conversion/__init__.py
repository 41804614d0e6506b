"""Workflows of Impact Pack, with the nodes that have a twin here swapped for it."""
