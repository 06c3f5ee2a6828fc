"""The page of a run: one HTML file that says what came of it, and draws who answered whom when."""
