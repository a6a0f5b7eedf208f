"""The world in simulation: scene, batched physics, the reorientation task and its cameras."""
