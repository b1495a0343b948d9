"""The image codec: pixels predicted in integers, by classes of places."""
