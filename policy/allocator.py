"""How the C library gives out memory to the learner."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's numbers of the two options, from ``malloc.h``."""


def keep_freed_memory() -> None:
    """Lets the process keep the memory it frees, to use it again.

    An update allocates and frees tensors of megabytes all the time. By default glibc gives them back to the kernel each
    time, which has to clear every page anew: an eighth of an update's time on one core. It holds for the whole process,
    whose memory then stays at its peak. Only glibc has these options.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library, musl for one
        return
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_MMAP_THRESHOLD, 2**30)
