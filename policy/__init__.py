"""The mind: networks, PPO, the teacher and distillation, training, evaluation, the policy artefact and its runtime."""
