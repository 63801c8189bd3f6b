"""The data model of container images: frozen values that keep raw bytes and unknown fields."""
