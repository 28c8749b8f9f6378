"""The same workloads on this library, on hand-written code and on Olympipe 2.2: ``python -m benchmarks``."""
