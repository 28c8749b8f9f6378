"""The shell around the core: loop, clock, lifetime. The only place that knows the scheduler and the executors."""
