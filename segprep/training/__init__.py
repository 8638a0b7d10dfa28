"""What a training loop needs besides the targets of a store."""
