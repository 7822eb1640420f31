"""Tests of the lab's language host."""
