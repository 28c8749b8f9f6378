"""The sans-IO core: `Scheduler.handle(event) -> commands`. No time, thread, process, socket or payload in here."""
