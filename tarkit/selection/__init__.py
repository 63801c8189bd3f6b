"""Selection and inspection of images in any Source."""
