"""Depth feeds, seen: points and surfaces in a window or a browser. Needs no torch."""
