"""The engine: one verb, copy, over Sources and Destinations of any kind."""
