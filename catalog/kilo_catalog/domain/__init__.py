"""What an image is and what may happen to it: plain values and rules, no I/O."""
