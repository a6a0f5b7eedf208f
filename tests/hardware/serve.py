"""``python -m tests.hardware.serve CONFIG.json``: the virtual rig alone, as ``inhand rig`` runs it."""

from hardware.deploy import serve_rig
from hardware.process import load_config
from hardware.rig_config import RigProcess

if __name__ == "__main__":
    serve_rig(load_config(RigProcess))
