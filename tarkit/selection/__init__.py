"""Select and inspect images in any Source."""
