"""One thread for every test process: on busy cores, OpenMP's own threads make tiny models 100x
slower than one thread alone. Set here, before anything imports torch."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
