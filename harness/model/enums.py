"""A word out of a few."""

from enum import Enum


class TextEnum(str, Enum):
    """One of a few words, which is printed as it is."""

    __str__ = str.__str__
