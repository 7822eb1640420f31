"""What the verbs print: tables, JSON, pictures, and how far a measurement is."""
