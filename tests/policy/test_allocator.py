"""Freed memory is used again, as the kernel counts it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """
import resource
from policy.allocator import keep_freed_memory

KEEP
b"x" * (64 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    values = b"x" * (64 << 20)
    del values
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keep: str) -> int:
    """How often the kernel had to hand out memory while 64 MiB were allocated, written and freed five times."""
    code = CODE.replace("KEEP", keep)
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return int(run.stdout)


def test_freed_memory_is_used_again_without_asking_the_kernel():
    default, kept = page_faults(""), page_faults("keep_freed_memory()")
    assert kept < default / 5
