"""What keeps a controller from starting."""

from __future__ import annotations


class CannotStart(Exception):
    """The surroundings are not fit to work in; the text says what to do about it."""
