"""What only macOS has. It has never run there: its parsers are tested."""
