"""A run as a whole: its plan, its session, its folder, and what can be added to it."""
