"""What the hand is: joints, frames and the two contracts. Data and pure math; no simulator, no sockets."""
