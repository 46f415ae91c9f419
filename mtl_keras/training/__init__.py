"""What happens between `compile` and an updated model: losses, weights, one step."""
