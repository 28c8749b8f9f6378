"""Load dill, and what needs it, on a system where nothing can be written."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any


def load(module: str) -> Any:
    """Import a module that is, or needs, dill.

    As it is loaded dill asks for a temporary folder, for uses that are not ours. In a container with read-only file
    systems, or with a full disk, there is none, and that would be the end of it.
    """
    if module == "pickle" or "dill" in sys.modules:
        return importlib.import_module(module)
    import tempfile  # dill loads it anyway

    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = os.curdir
        try:
            return importlib.import_module(module)
        finally:
            tempfile.tempdir = None  # whoever asks next is told that there is none
    return importlib.import_module(module)
