"""Learning the weights that are shipped: in float, on any device, before anything is coded."""
