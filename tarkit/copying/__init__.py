"""The copy engine, which moves an image from any Source to any Destination."""
