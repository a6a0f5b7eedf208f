from hypothesis import settings

import sim  # noqa: F401  chooses headless rendering before any test imports mujoco

# what a busy machine takes for an example says nothing
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
