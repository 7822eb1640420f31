"""What measured counts prove, at any time: every test here may be looked at after every request, and stopped when decided."""
