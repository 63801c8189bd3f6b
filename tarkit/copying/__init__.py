"""The copy engine: it moves an image from any Source to any Destination."""
