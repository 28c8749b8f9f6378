"""Requests answered by workers that bring the function along: a broker, its workers, and clients in other processes."""

from olympipe_like.requests.broker import Broker
from olympipe_like.requests.client import Client
from olympipe_like.requests.starting import start_workers
from olympipe_like.requests.worker import Worker

__all__ = ["Broker", "Client", "Worker", "start_workers"]
