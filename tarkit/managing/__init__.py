"""Change and examine containers of images in place: names, deletion, indexes, annotations, blobs."""
