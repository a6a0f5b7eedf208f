import sim  # noqa: F401  chooses headless rendering before any test imports mujoco
