"""Per-task gradients at the cut, at the parameters or at the last shared layer, equal on one device and on many."""
