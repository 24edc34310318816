"""Text for people: durations, sizes, counts, sentences, and foreign text made safe. Pure."""
