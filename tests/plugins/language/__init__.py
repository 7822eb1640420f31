"""Tests of the stand-in language host."""
