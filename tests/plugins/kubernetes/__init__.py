"""Tests of the stand-in kubernetes provider."""
