"""What every topic stands on: arrays, activations, cells, data, errors."""
