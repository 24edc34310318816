"""The parts that only macOS has. The code has never run there: its parsers are tested."""
