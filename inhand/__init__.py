"""The door: the ``inhand <verb>`` command line and its configuration."""

import os

# The threads of torch and of the physics take turns on the same cores. A thread of torch's that waits must sleep: by
# default it spins, and an update beside any other busy thread then takes up to thirty times as long. OpenMP reads this
# once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
